// SPDX-License-Identifier: Apache-2.0
// fastreg._streams: the physical limit, measured beside the kernels that are held against it. Built
// with FASTREG_BUILD_BENCH alone.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <string>

#include "bench/stream_kernels.h"

namespace fastreg {

#define FASTREG_ISA(isa)          \
  namespace isa {                 \
  StreamKernels stream_kernels(); \
  }
#include "stream_isas.inc"
#undef FASTREG_ISA

namespace {

namespace py = pybind11;

StreamKernels kernels_of(const std::string& name) {
#define FASTREG_ISA(isa) \
  if (name == #isa) return isa::stream_kernels();
#include "stream_isas.inc"
#undef FASTREG_ISA
  throw py::value_error("There are no stream kernels for the instruction set " + name + ".");
}

// Runs body(begin, size) for `threads` parts of nearly equal size, each but the last in whole
// lines.
template <typename Body>
void in_parts(int64_t size, int64_t line, int threads, Body body) {
  const int64_t part = (size / threads + line - 1) / line * line;
  const py::gil_scoped_release released;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int t = 0; t < threads; ++t) {
    const int64_t begin = std::min(size, t * part);
    body(begin, std::min(part, size - begin));
  }
}

constexpr int64_t kCacheLine = 64;

void best_copy(const py::buffer& from, const py::buffer& to, int threads, bool past_caches,
               const std::string& isa) {
  const py::buffer_info source = from.request(), target = to.request(true);
  const int64_t bytes = source.size * source.itemsize;
  if (target.size * target.itemsize != bytes || threads < 1 ||
      reinterpret_cast<uintptr_t>(target.ptr) % kCacheLine != 0) {
    throw py::value_error("Expected two buffers of one size, the second 64-byte aligned.");
  }
  const StreamKernels kernels = kernels_of(isa);
  const auto run = past_caches ? kernels.copy_past_caches : kernels.copy;
  const auto* x = static_cast<const char*>(source.ptr);
  auto* y = static_cast<char*>(target.ptr);
  in_parts(bytes, kCacheLine, threads,
           [=](int64_t begin, int64_t size) { run(x + begin, size, y + begin); });
}

// Volatile, so that no reading is left out as unused.
volatile uint64_t sink;

void best_read(const py::buffer& from, int threads, const std::string& isa) {
  const py::buffer_info source = from.request();
  if (threads < 1) throw py::value_error("Expected at least one thread.");
  const auto run = kernels_of(isa).read;
  const auto* x = static_cast<const char*>(source.ptr);
  in_parts(source.size * source.itemsize, kCacheLine, threads,
           [=](int64_t begin, int64_t size) { sink = run(x + begin, size); });
}

void best_philox(int64_t n, int threads, const std::string& isa) {
  if (threads < 1) throw py::value_error("Expected at least one thread.");
  const auto run = kernels_of(isa).philox;
  in_parts(n, 128, threads, [=](int64_t begin, int64_t size) {
    sink = run(static_cast<uint32_t>(begin / 4), size);
  });
}

}  // namespace
}  // namespace fastreg

PYBIND11_MODULE(_streams, module) {
  using namespace fastreg;
  module.def("copy", best_copy, py::arg("source"), py::arg("target"), py::arg("threads"),
             py::arg("past_caches"), py::arg("isa"));
  module.def("read", best_read, py::arg("source"), py::arg("threads"), py::arg("isa"));
  module.def("philox", best_philox, py::arg("n"), py::arg("threads"), py::arg("isa"));
}
