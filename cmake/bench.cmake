# SPDX-License-Identifier: Apache-2.0
# fastreg._streams, which measures what the machine can do at best. The benchmarks alone need it.

set(FASTREG_STREAM_ISAS ${FASTREG_ISAS})
list(REMOVE_ITEM FASTREG_STREAM_ISAS reference)

set(entries "")
pybind11_add_module(_streams cpp/bench/streams.cc)
foreach(isa IN LISTS FASTREG_STREAM_ISAS)
  add_library(fastreg_streams_${isa} OBJECT cpp/bench/stream_kernels.cc)
  target_compile_options(
    fastreg_streams_${isa} PRIVATE $<$<NOT:$<CONFIG:Debug>>:-O3> ${FASTREG_FLAGS_${isa}}
                                   ${FASTREG_INTRINSICS_WARNINGS})
  target_compile_definitions(fastreg_streams_${isa} PRIVATE FASTREG_KERNEL_ISA=${isa})
  target_link_libraries(fastreg_streams_${isa} PRIVATE fastreg_settings)
  target_sources(_streams PRIVATE $<TARGET_OBJECTS:fastreg_streams_${isa}>)
  string(APPEND entries "FASTREG_ISA(${isa})\n")
endforeach()
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/stream_isas.inc CONTENT "${entries}")
target_include_directories(_streams PRIVATE ${PROJECT_BINARY_DIR}/generated)
target_link_libraries(_streams PRIVATE fastreg_settings
                                       $<TARGET_NAME_IF_EXISTS:OpenMP::OpenMP_CXX>)
install(TARGETS _streams LIBRARY DESTINATION fastreg)
