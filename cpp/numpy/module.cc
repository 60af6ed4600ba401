// SPDX-License-Identifier: Apache-2.0
// fastreg._core, the numpy door: a table of contents.
#include "numpy/module.h"

#include "core/build_id.h"
#include "fastreg/isa.h"
#include "numpy/arrays.h"

namespace fastreg {
namespace {

// None if the build found no such thing.
py::object text(const char* found) { return *found ? py::object(py::str(found)) : py::none(); }

py::dict build_info() {
  py::dict info;
  info["build_id"] = build_id();
  info["compiler"] = FASTREG_COMPILER;
  info["openmp"] = has_openmp();
  // What the ops are built for, what they can be built for, and what was installed in its place.
  info["tensorflow"] = text(FASTREG_TENSORFLOW_VERSION);
  info["tf_series"] = FASTREG_TENSORFLOW_SERIES;
  info["other_tf"] = text(FASTREG_OTHER_TENSORFLOW);
  return info;
}

}  // namespace
}  // namespace fastreg

PYBIND11_MODULE(_core, module) {
  using namespace fastreg;
  module.doc() = "Kernels of fastreg on numpy arrays. Use fastreg.functional, which checks.";
  module.def("available_isas", available_isas);
  module.def("active_isa", active_isa);
  module.def("select_isa", select_isa, py::arg("name"));
  module.attr("MAX_THREADS") = kMaxThreads;
  module.def("num_threads", num_threads);
  module.def("set_num_threads", set_num_threads, py::arg("threads"));
  module.def("stay_serial", stay_serial);
  module.def("build_info", build_info);
  bind_checks(module);
  bind_penalty(module);
  bind_dropout(module);
  bind_batch_norm(module);
}
