"""The rows of another program's databases, as records, to ours and back.

A record is a row of one table of `state.sql` or `local.sql` (`records`), its ids plain. `take` puts records into rows
of ours and makes what only ours have: indexes, columns, the rows of applied layers, each of which must come to the
state hash that is stored. `give` makes records of our rows. `signed` fills the own store with what own identities have
signed, as far as rows tell. Files are the business of those who call.

What has no counterpart is said in `take` and `give`. Specified in protocol 09b-node-storage-libp2p, section 5.
"""
