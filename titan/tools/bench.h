// bench.h: `titan bench`: what this machine reaches, and what titan's parts reach of it.
#pragma once

#include <string>
#include <vector>

namespace titan {

int bench_main(const std::vector<std::string>& args);

}  // namespace titan
