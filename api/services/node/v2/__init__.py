"""The second generation of services, written once over two packages that say the same: v2alpha1 and v2beta1.

`services.SERVICES` names them all; each is made by `calls(backend, package)` of a module: its methods by their names.
`package` has the messages of both packages, `pages`, `far` and `streams` what lists and streams have in common,
`contents` and `wire` how transactions are shown. Specified in protocol 10-api, section 4.
"""
