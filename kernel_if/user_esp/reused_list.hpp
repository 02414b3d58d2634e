// A list whose items keep their memory when it is cleared: packets come and go without allocation.
#pragma once

#include <cstddef>
#include <vector>

namespace imago::kernel_if::user_esp {

template <class T>
class reused_list {
 public:
  // One more item, with whatever it held when it was last used.
  T& add() {
    if (count_ == items_.size()) items_.emplace_back();
    return items_[count_++];
  }
  void drop_last() { --count_; }
  void clear() { count_ = 0; }

  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t index) { return items_[index]; }
  const T& operator[](std::size_t index) const { return items_[index]; }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.begin() + static_cast<std::ptrdiff_t>(count_); }

 private:
  std::vector<T> items_;
  std::size_t count_ = 0;
};

}  // namespace imago::kernel_if::user_esp
