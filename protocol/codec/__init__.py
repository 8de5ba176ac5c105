"""How values become bytes: SCALE, which the network speaks, and the XDR of a PoET server's files.

May be imported from outside: `declare` (records, their fields' encodings, codecs that stand alone), `xdr`, `compact`
(single integers) and `id_list`; `primitives` and `composites`, the kinds of codecs, by who looks into one. `record`
reads declarations, `base` and `source` are what codecs are made of. A declaration is checked when it is imported, its
code is generated when it is used first.
"""
