// mllog_rules.h: the compliance rules of MLPerf Training's flux1, restated from the behaviour of
// the public checker (mlcommons/logging, usage "training"), so that a log can be judged without
// Python. No torch.
#pragma once

#include <string>
#include <vector>

namespace titan::testing {

struct MllogVerdict {
  std::vector<std::string> problems;  ///< none = the log passes
  std::vector<std::string> warnings;
  bool passes() const { return problems.empty(); }
  std::string text() const;
};

/// Rule sets "5.1.0", "6.0.0", "6.1.0" as of mlcommons/logging 4.1.59, and "6.1.0 (4.1.68)", in
/// which precision, parallelism and config are disclosures that must be there and the evaluation
/// frequency is a multiple of the batch. Another name is a problem.
MllogVerdict judge_mllog(const std::string& log, const std::string& ruleset);

}  // namespace titan::testing
