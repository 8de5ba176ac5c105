"""Certificates: enough seats of a committee say that hare agreed on a block, for nodes which were not there.

From outside: `machine.CertificateMachine`, `parameters`, and `tables` with what is known of the hare output of a layer.
Ours is stricter than the network's first program: a smesher counts once, and every entry must belong to the
certificate's block and layer. Protocol 05-consensus, sections 9 and 17.
"""
