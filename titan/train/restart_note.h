// restart_note.h: what a launcher and the ranks it starts again tell each other. No torch.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "titan/base/status.h"

namespace titan {

/// What a rank knows of the attempts before this one.
struct RestartNote {
  int number = 0;     ///< 0 = the first attempt
  std::string cause;  ///< why the last one ended
};
/// From the environment.
RestartNote restart_note();
/// The variables that say so.
std::map<std::string, std::string> restart_variables(const RestartNote& note);

/// Whether this rank was started by titan's own launcher, which sets torchrun's variables.
bool has_own_launcher();

/// A number that ranks write and their launcher reads, whatever becomes of the ranks: the step that
/// is under way.
class StepMark {
 public:
  /// The launcher's side: memory without a name.
  static StatusOr<StepMark> make();
  StepMark() = default;
  ~StepMark();
  StepMark(StepMark&& other) noexcept;
  StepMark& operator=(StepMark&& other) noexcept;

  /// The variable by which ranks find it.
  std::map<std::string, std::string> variables() const;
  /// The last step begun; 0 = none since clear().
  std::int64_t read() const;
  void clear();

  /// The rank's side: writes to the launcher's mark where there is one. From one thread.
  static void write(std::int64_t step);

 private:
  int file_ = -1;
};

}  // namespace titan
