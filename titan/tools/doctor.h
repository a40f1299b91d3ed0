// doctor.h: `titan doctor`.
#pragma once

#include <string>
#include <vector>

namespace titan {

/// Looks at machine, ranks, disks and a job's settings, and prints one page of what is well and
/// what is not, with what to do. Exit codes: 0 nothing failed, 1 something did, 2 bad arguments.
int doctor_main(const std::vector<std::string>& args);

}  // namespace titan
