# The version of the package is the generation of the ABI, which is what a program that links depends on; the soname
# has the same number. TC_VERSION_MAJOR and the others in tokencache.h are the version of the library.
set(PACKAGE_VERSION 1)

if(PACKAGE_FIND_VERSION_MAJOR STREQUAL "1" AND NOT PACKAGE_FIND_VERSION VERSION_GREATER "1")
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
  if(PACKAGE_FIND_VERSION VERSION_EQUAL "1")
    set(PACKAGE_VERSION_EXACT TRUE)
  endif()
else()
  set(PACKAGE_VERSION_COMPATIBLE FALSE)
endif()

# The library is built for x86_64.
if(CMAKE_SIZEOF_VOID_P AND NOT CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(PACKAGE_VERSION "1 (64 bits)")
  set(PACKAGE_VERSION_UNSUITABLE TRUE)
endif()
