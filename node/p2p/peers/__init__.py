"""Which peers this node has: whom it dials and takes, with whom it parts, where others are, and how they are found.

| module | what |
|---|---|
| gater | who may be dialled or taken |
| trimming | whom to part with when there are too many |
| book | addresses of peers, and when they may be dialled again |
| clocks | what the clocks of peers say of this one |
| table | peers by their distance, as all nodes keep them together, and the search in it |

Pure decisions; `host` carries them out. Protocol 09a, sections 1.3 to 1.5.
"""
