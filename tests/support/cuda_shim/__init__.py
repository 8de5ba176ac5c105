"""The CUDA side without a graphics card: `shim.cpp` gives CUDA's built-ins to a C++ compiler, `build` makes a
library of the kernels with it, and `driver` is a `kernels.gpu.cuda_driver.Driver` that runs them on the CPU.
"""
