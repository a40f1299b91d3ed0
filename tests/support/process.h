// Runs a program and looks at what it did: exit code and everything it printed.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace titan::testing {

struct ProcessResult {
  int exit_code = -1;  ///< 128 + n when a signal n ended it
  std::string output;  ///< stdout and stderr together
  bool mentions(const std::string& text) const { return output.find(text) != std::string::npos; }
};

/// A running child whose output is collected in the background; killed on destruction if it still
/// runs.
class Process {
 public:
  /// `environment` adds to (or, with an empty value, removes from) this process's variables.
  Process(const std::vector<std::string>& command,
          const std::map<std::string, std::string>& environment = {},
          const std::string& working_directory = "");
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  /// True once the output so far contains `text`; false if the process ends or `timeout_s` passes
  /// first.
  bool wait_for_output(const std::string& text, double timeout_s);
  /// Everything printed and read so far.
  const std::string& output() const { return output_; }
  /// Waits for the end; kills after `timeout_s` (exit code 137 then).
  ProcessResult wait(double timeout_s = 120);

 private:
  bool read_some(int timeout_ms);

  pid_t pid_ = -1;
  int pipe_ = -1;
  std::string output_;
};

/// Runs to the end.
ProcessResult run(const std::vector<std::string>& command,
                  const std::map<std::string, std::string>& environment = {},
                  double timeout_s = 120);

}  // namespace titan::testing
