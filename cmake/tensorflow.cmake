# SPDX-License-Identifier: Apache-2.0
# Finds the TensorFlow to build against and sets FASTREG_TENSORFLOW_VERSION (empty: no ops),
# FASTREG_TENSORFLOW_SERIES (the one that ops can be built for) and FASTREG_OTHER_TENSORFLOW (what the
# environment has of another series, or empty).

set(FASTREG_TENSORFLOW_VERSION "")
set(FASTREG_OTHER_TENSORFLOW "")
file(STRINGS ${CMAKE_CURRENT_LIST_DIR}/find_tensorflow.py FASTREG_TENSORFLOW_SERIES
     REGEX "^SERIES = ")
string(REGEX REPLACE ".*\"(.+)\".*" "\\1" FASTREG_TENSORFLOW_SERIES "${FASTREG_TENSORFLOW_SERIES}")
string(TOUPPER "${FASTREG_WITH_TF}" FASTREG_WITH_TF)

if(FASTREG_WITH_TF STREQUAL "AUTO" OR FASTREG_WITH_TF)
  find_package(Python 3.10 REQUIRED COMPONENTS Interpreter)
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    execute_process(
      COMMAND ${Python_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/find_tensorflow.py
      OUTPUT_VARIABLE tensorflow_lines COMMAND_ERROR_IS_FATAL ANY)
    string(REPLACE "\n" ";" tensorflow_lines "${tensorflow_lines}")
    list(GET tensorflow_lines 0 FASTREG_TENSORFLOW_VERSION)
    list(GET tensorflow_lines 1 FASTREG_TENSORFLOW_ROOT)
    list(GET tensorflow_lines 2 FASTREG_OTHER_TENSORFLOW)
  endif()
  if(FASTREG_TENSORFLOW_VERSION)
    message(STATUS "TensorFlow ${FASTREG_TENSORFLOW_VERSION}: ${FASTREG_TENSORFLOW_ROOT}")
    set(decision "They will not run beside it: stock Keras will compute. FASTREG_WITH_TF=OFF builds the "
                 "numpy front end alone.")
  elseif(NOT FASTREG_WITH_TF STREQUAL "AUTO")
    message(FATAL_ERROR "FASTREG_WITH_TF=${FASTREG_WITH_TF}, but no matching TensorFlow was "
                        "found. cmake/find_tensorflow.py says which one is expected.")
  else()
    message(STATUS "No matching TensorFlow found: building the numpy front end alone")
    set(decision "Building the numpy front end alone: stock Keras will compute. For the ops, install "
                 "tensorflow-cpu~=${FASTREG_TENSORFLOW_SERIES}.0 (or tensorflow) and build again.")
  endif()
  if(FASTREG_OTHER_TENSORFLOW)
    message(WARNING "TensorFlow ${FASTREG_OTHER_TENSORFLOW} is installed, and fastreg's ops are for "
                    "TensorFlow ${FASTREG_TENSORFLOW_SERIES}. " ${decision})
  endif()
endif()

# A library of TensorFlow's door, as the package carries it: tests/wheel reads the names from here.
# Sources with TensorFlow's headers take the wheel's own flags and no instruction set beyond them.
function(fastreg_add_tensorflow_library target)
  add_library(${target} MODULE ${ARGN} ${PROJECT_SOURCE_DIR}/cpp/ops/select_isa.cc)
  target_link_libraries(
    ${target} PRIVATE fastreg_ops ${FASTREG_TENSORFLOW_ROOT}/libtensorflow_framework.so.2)
  target_include_directories(${target} SYSTEM PRIVATE ${FASTREG_TENSORFLOW_ROOT}/include)
  target_compile_definitions(${target} PRIVATE _GLIBCXX_USE_CXX11_ABI=1 EIGEN_MAX_ALIGN_BYTES=64)
  # The checks of TensorFlow's headers report their file: the folders of the build are nobody's business.
  target_compile_options(
    ${target} PRIVATE -fmacro-prefix-map=${FASTREG_TENSORFLOW_ROOT}/include/=
                      -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)
  fastreg_add_build_id(${target})
  # `import tensorflow` has loaded its libraries before ours.
  set_target_properties(${target} PROPERTIES SKIP_BUILD_RPATH ON INSTALL_RPATH "")
  install(TARGETS ${target} LIBRARY DESTINATION fastreg)
endfunction()

# XLA is in another, larger library, which the ops alone do not need; its headers use these two.
function(fastreg_use_xla target)
  target_link_libraries(${target} PRIVATE ${FASTREG_TENSORFLOW_ROOT}/libtensorflow_cc.so.2)
  target_include_directories(
    ${target} SYSTEM PRIVATE ${FASTREG_TENSORFLOW_ROOT}/include/external/highwayhash
                             ${FASTREG_TENSORFLOW_ROOT}/include/external/farmhash_archive/src)
endfunction()
