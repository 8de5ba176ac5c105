"""The PoST services that connect to a node, one for each identity: who is there, and what they are asked for.

`machine` decides and touches nothing, `service` is what gRPC calls and what the port `Prover` asks. Specified in
protocol 10-api, sections 3.10 and 9, and 01-post-tools, section 4.2.
"""
