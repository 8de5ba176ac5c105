"""What calls the machines: routes inputs and effects, one unit of work after another, commits, then lets effects out.

Pure but for the stores that it is given; the same in simulation and in the world. From outside: `engine.Engine`, the
inputs and outputs of `edges`, `errors`. `docs/contract.md`.
"""
