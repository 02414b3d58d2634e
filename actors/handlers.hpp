// The message handlers of an actor.
//
// Why not a caf::behavior of them: it tries its cases one after the other by comparing the names of
// types as text, and costs about 50 octets a case in every actor. All that our actors send each
// other is asynchronous and one value, so its type names the handler.
#pragma once

#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <caf/type_erased_tuple.hpp>
#include <caf/type_erased_value.hpp>
#include <caf/type_nr.hpp>

namespace imago::actors {

class handlers {
 public:
  virtual ~handlers() = default;
  // False: there is none for it.
  virtual bool handle(caf::type_erased_tuple& content) = 0;
};

template <class Method>
struct handled_type;
template <class Class, class Argument>
struct handled_type<void (Class::*)(Argument) const> {
  using type = const Argument;
};
template <class Class, class Argument>
struct handled_type<void (Class::*)(Argument&)> {
  using type = Argument;
};
template <class Class, class Argument>
struct handled_type<void (Class::*)(Argument&) const> {
  using type = Argument;
};

template <class... functions>
class handlers_of final : public handlers {
 public:
  explicit handlers_of(functions... all) : all_{std::move(all)...} {}

  bool handle(caf::type_erased_tuple& content) override {
    if (content.size() != 1) return false;
    const auto* type = content.type(0).second;
    if (type == nullptr) return false;  // one of CAF's own
    return try_all(content, [type](const std::type_info& one) { return &one == type; }) ||
           // The same type seen by another shared object.
           try_all(content, [type](const std::type_info& one) { return one == *type; });
  }

 private:
  template <class Is>
  bool try_all(caf::type_erased_tuple& content, Is is) {
    return std::apply([&](functions&... each) { return (try_one(each, content, is) || ...); },
                      all_);
  }

  template <class Function, class Is>
  static bool try_one(Function& function, caf::type_erased_tuple& content, Is is) {
    using argument = typename handled_type<decltype(&Function::operator())>::type;
    static_assert(caf::type_nr<std::remove_const_t<argument>>::value == 0,
                  "CAF knows its own types by a number only: send a struct of yours");
    if (!is(typeid(argument))) return false;
    if constexpr (std::is_const_v<argument>) {
      function(*static_cast<argument*>(content.get(0)));
    } else if (content.shared()) {  // others get it as well
      auto own = content.copy(0);
      function(*static_cast<argument*>(own->get_mutable()));
    } else {
      function(*static_cast<argument*>(content.get_mutable(0)));
    }
    return true;
  }

  std::tuple<functions...> all_;
};

}  // namespace imago::actors
