// argument_vector.h: words as main() is given them.
#pragma once

#include <string>
#include <vector>

namespace titan {

/// A program's name, a verb and its arguments as argc and argv.
class ArgumentVector {
 public:
  ArgumentVector(const std::string& verb, const std::vector<std::string>& arguments)
      : words_{"titan", verb} {
    words_.insert(words_.end(), arguments.begin(), arguments.end());
    for (std::string& word : words_) pointers_.push_back(word.data());
    pointers_.push_back(nullptr);
  }
  ArgumentVector(const ArgumentVector&) = delete;
  ArgumentVector& operator=(const ArgumentVector&) = delete;

  int count() const { return static_cast<int>(words_.size()); }
  char** data() { return pointers_.data(); }

 private:
  std::vector<std::string> words_;
  std::vector<char*> pointers_;
};

}  // namespace titan
