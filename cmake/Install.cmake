# What `cmake --install` lays down: the two programs, libimago with the headers that an embedding
# program sees, its CMake package, the manual pages, the shell completion, the sample configuration.
include(CMakePackageConfigHelpers)

set(IMAGO_INSTALL_HEADERS ${CMAKE_INSTALL_INCLUDEDIR}/imago)
set(IMAGO_INSTALL_PACKAGE ${CMAKE_INSTALL_LIBDIR}/cmake/imago)

# The public headers are these and what they include, by path from the root of the repository.
# `./dev lint` (rule public-headers) keeps CAF out of them.
# The engine, and what it can be given as a data plane: one's own, tables only, user-space ESP.
set(IMAGO_PUBLIC_HEADERS actors/engine.hpp kernel_if/backend.hpp kernel_if/fake/fake_backend.hpp
  kernel_if/user_esp/backend.hpp)

function(imago_reached_headers out)
  set(queue ${ARGN})
  set(reached)
  while(queue)
    list(POP_FRONT queue header)
    if(header IN_LIST reached OR NOT EXISTS ${CMAKE_SOURCE_DIR}/${header})
      continue()
    endif()
    list(APPEND reached ${header})
    file(STRINGS ${CMAKE_SOURCE_DIR}/${header} lines REGEX "^[ \t]*#[ \t]*include[ \t]*\"")
    foreach(line IN LISTS lines)
      string(REGEX REPLACE "^[^\"]*\"([^\"]*)\".*$" "\\1" name "${line}")
      list(APPEND queue ${name})
    endforeach()
    # A header that gains an include has to be looked at again.
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${header})
  endwhile()
  set(${out} ${reached} PARENT_SCOPE)
endfunction()

foreach(program imagod imagoctl)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()

if(TARGET imago)
  # Our warnings are ours; an embedding program needs the language and the headers' place.
  get_target_property(options imago_options INTERFACE_COMPILE_OPTIONS)
  set_target_properties(imago_options PROPERTIES INTERFACE_COMPILE_OPTIONS "$<BUILD_INTERFACE:${options}>")
  target_compile_features(imago_options INTERFACE cxx_std_20)
  target_include_directories(imago_options INTERFACE $<INSTALL_INTERFACE:${IMAGO_INSTALL_HEADERS}>)

  # Headers alone, and compiled in: an embedding program needs no nlohmann-json.
  foreach(library imago imago_kernel_if imago_core)
    get_target_property(links ${library} INTERFACE_LINK_LIBRARIES)
    list(FILTER links EXCLUDE REGEX "nlohmann_json::")
    set_target_properties(${library} PROPERTIES INTERFACE_LINK_LIBRARIES "${links}")
  endforeach()
  # The package finds CAF again and makes a target of this name.
  target_link_libraries(imago INTERFACE $<INSTALL_INTERFACE:caf_core>)

  install(TARGETS imago_options imago_core imago_kernel_if imago EXPORT imago
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT imago NAMESPACE imago:: FILE imago-targets.cmake DESTINATION ${IMAGO_INSTALL_PACKAGE})
  configure_package_config_file(cmake/imago-config.cmake.in ${CMAKE_BINARY_DIR}/imago-config.cmake
    INSTALL_DESTINATION ${IMAGO_INSTALL_PACKAGE})
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/imago-config-version.cmake
    COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/imago-config.cmake ${CMAKE_BINARY_DIR}/imago-config-version.cmake
    DESTINATION ${IMAGO_INSTALL_PACKAGE})

  imago_reached_headers(headers ${IMAGO_PUBLIC_HEADERS})
  foreach(header IN LISTS headers)
    get_filename_component(folder ${header} DIRECTORY)
    install(FILES ${header} DESTINATION ${IMAGO_INSTALL_HEADERS}/${folder})
  endforeach()
endif()

install(FILES docs/man/imagod.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
install(FILES docs/man/imagoctl.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES docs/man/imago.conf.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
install(FILES etc/completion/imagoctl DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES etc/completion/imagoctl RENAME imagod
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES etc/imago.conf DESTINATION ${CMAKE_INSTALL_SYSCONFDIR}/imago OPTIONAL)
install(FILES etc/imagod.service DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/systemd/system OPTIONAL)
