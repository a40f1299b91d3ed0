// sample.h: `titan sample`: pictures from a trained run.
#pragma once

#include <string>
#include <vector>

namespace titan {

/// `titan sample RUN [options]`; returns the exit code. With --check-shapes the pictures of the
/// shapes data set are scored.
int sample_main(const std::vector<std::string>& args);

}  // namespace titan
