# SPDX-License-Identifier: Apache-2.0
# The id of a build, and its place in each library. The id is renewed whenever a source changes, so
# that a library which was not built again does not pass for one of the same build. It depends on
# no folder: the same sources and tools give the same id everywhere.

if(CMAKE_SCRIPT_MODE_FILE)
  # cmake -DPARTS=... -DOUTPUT=... -P build_id.cmake, in the folder of the sources.
  include(${PARTS})
  file(STRINGS python/fastreg/__init__.py version REGEX "^__version__ = ")
  string(REGEX REPLACE ".*\"(.+)\".*" "\\1" version "${version}")
  set(lines "${version}\n${BUILT_WITH}\n")
  foreach(source IN LISTS SOURCES)
    file(SHA256 ${source} hash)
    string(APPEND lines "${source} ${hash}\n")
  endforeach()
  string(SHA256 hash "${lines}")
  string(SUBSTRING ${hash} 0 16 hash)
  # Leaves the file alone where it says so already.
  file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define FASTREG_BUILD_ID \"${version}-${hash}\"\n")
  return()
endif()

set(parts ${PROJECT_BINARY_DIR}/generated/build_id_parts.cmake)
set(output ${PROJECT_BINARY_DIR}/generated/build_id.inc)
file(GLOB_RECURSE sources RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS cpp/*.cc cpp/*.h)
list(FILTER sources EXCLUDE REGEX "^cpp/(bench|tests)/")
file(GLOB scripts RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS cmake/*.cmake)
list(APPEND sources ${scripts} CMakeLists.txt)
set(built_with "${FASTREG_COMPILER}, ${CMAKE_SYSTEM_PROCESSOR}, ${FASTREG_TENSORFLOW_VERSION}")
file(CONFIGURE OUTPUT ${parts} CONTENT "set(BUILT_WITH [[${built_with}]])\nset(SOURCES ${sources})\n")
list(TRANSFORM sources PREPEND ${PROJECT_SOURCE_DIR}/ OUTPUT_VARIABLE paths)
add_custom_command(
  OUTPUT ${output}
  COMMAND ${CMAKE_COMMAND} -DPARTS=${parts} -DOUTPUT=${output} -P ${CMAKE_CURRENT_LIST_FILE}
  WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
  DEPENDS ${parts} ${paths} ${PROJECT_SOURCE_DIR}/python/fastreg/__init__.py
  COMMENT "Naming the build"
  VERBATIM)
add_custom_target(fastreg_build_id DEPENDS ${output})

# One small source, compiled for each library.
function(fastreg_add_build_id target)
  add_library(${target}_build_id OBJECT ${PROJECT_SOURCE_DIR}/cpp/core/build_id.cc)
  target_compile_definitions(${target}_build_id PRIVATE FASTREG_LIBRARY="${target}")
  target_include_directories(${target}_build_id PRIVATE ${PROJECT_BINARY_DIR}/generated)
  target_link_libraries(${target}_build_id PRIVATE fastreg_settings)
  add_dependencies(${target}_build_id fastreg_build_id)
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_build_id>)
endfunction()
