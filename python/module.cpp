// The Python module imago._imago: the world of world/, for scripts. What scripts import is the
// package imago around it.
#include "python/bind.hpp"

PYBIND11_MODULE(_imago, module) {
  module.doc() = "The compiled part of imago; import imago instead.";
  imago::python::bind_errors(module);
  imago::python::bind_views(module);
  imago::python::bind_letters(module);
  imago::python::bind_network(module);
  imago::python::bind_host(module);
  imago::python::bind_world(module);
  imago::python::bind_explore(module);
}
