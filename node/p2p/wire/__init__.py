"""What peers send each other below the messages: bytes to values and back, and the machines of a connection.

| module | what |
|---|---|
| varint, protobuf, base58 | how numbers, fields and names are written |
| peer_id, key_file, multiaddr, backup, cookie | who a peer is, where it is, and what is kept of it |
| multistream, noise, yamux | a connection, from its first byte: which protocol, encrypted, many streams in one |
| envelope, identify, kad | what peers tell of themselves and of each other |

Pure: no socket, clock or file. Everything that is wrong raises `errors.WireError`. Protocol 09a, section 1.
"""
