"""How programs are told what to do: one definition of a setting for file, environment and flag, one loader.

May be imported from outside: `settings` (Setting, Flags, the sources), `kinds` (kinds of values), `files` (documents
and files of lines), `errors` (ConfigError), `node` (a node's settings), `own` (those that only ours has) and `load`
(where they come from). Which settings a network has, and their values there, is in `protocol.params`; those of a
service stand with the service.
"""
