"""PoST labels on graphics cards: one kernel source, its layouts, one engine, and thin drivers for OpenCL and CUDA.

From below to above: `layout`, `plan`, `driver` (what a driver is), `opencl` and `cuda`, `session` and `engine`, `probe`
(a driver asked in a child process), `tune`. `sensors` is what drivers tell beside computing.
"""
