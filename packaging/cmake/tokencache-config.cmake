# find_package(tokencache 1) makes two targets: tokencache::tokencache, the shared library, and tokencache::static. Both
# bring the C header and the C++ one.

# Below which prefix this file lies, wherever that was moved to.
get_filename_component(_tokencache_lib "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
get_filename_component(_tokencache_prefix "${_tokencache_lib}/@LIB_TO_PREFIX@" ABSOLUTE)
set(_tokencache_include "${_tokencache_prefix}/@INCLUDE@")

foreach(_tokencache_file "${_tokencache_lib}/libtokencache.so.1" "${_tokencache_lib}/libtokencache.a"
        "${_tokencache_include}/tokencache.h")
  if(NOT EXISTS "${_tokencache_file}")
    set(tokencache_FOUND FALSE)
    set(tokencache_NOT_FOUND_MESSAGE "${_tokencache_file} is missing; make install puts it there.")
    return()
  endif()
endforeach()

if(NOT TARGET tokencache::tokencache)
  add_library(tokencache::tokencache SHARED IMPORTED)
  set_target_properties(tokencache::tokencache PROPERTIES
    IMPORTED_LOCATION "${_tokencache_lib}/libtokencache.so.1"
    IMPORTED_SONAME libtokencache.so.1
    INTERFACE_INCLUDE_DIRECTORIES "${_tokencache_include}")

  add_library(tokencache::static STATIC IMPORTED)
  set_target_properties(tokencache::static PROPERTIES
    IMPORTED_LOCATION "${_tokencache_lib}/libtokencache.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_tokencache_include}"
    INTERFACE_LINK_LIBRARIES "gcc_s;util;rt;pthread;m;dl")
endif()
