"""Messages of the network's gRPC interfaces, generated from the files below `proto/` by `make pb`.

Nothing here is edited by hand; a test generates the code again and compares. Specified in protocol 02-poet,
section 9.
"""
