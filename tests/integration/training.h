// Runs the real train binary on tiny jobs and reads what it left behind.
#pragma once

#include <nlohmann/json.hpp>

#include <map>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temporary_folder.h"

namespace titan::testing {

/// Arguments of a tiny synthetic job: 16 x 16 pixels, a 2-layer model, one step a few milliseconds.
std::vector<std::string> tiny_job(const std::string& run_folder,
                                  const std::vector<std::string>& extra = {});

/// Arguments of flux_debug, smaller still: 12 steps of 8 samples, three evaluations.
std::vector<std::string> tiny_flux(const std::string& run_folder,
                                   const std::vector<std::string>& extra = {});

ProcessResult train(const std::vector<std::string>& arguments,
                    const std::map<std::string, std::string>& environment = {},
                    double timeout_s = 180);

/// Lines of metrics.jsonl of one kind.
std::vector<nlohmann::json> metric_lines(const std::string& run_folder,
                                         const std::string& kind = "train");

/// Loss by step.
std::map<int64_t, double> losses(const std::string& run_folder);

extern const char* const kTrainBinary;
extern const char* const kTitanBinary;

}  // namespace titan::testing
