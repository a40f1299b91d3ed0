// human.h: figures as people read them: "2h 05m", "3.90 GiB", "1.2M".
#pragma once

#include <string>

namespace titan {

/// Duration in seconds: "8.4s", "45s", "3m 20s", "2h 05m", "3d 04h"; "--" where it is negative or
/// not finite.
std::string human_duration(double seconds);
/// Size in bytes: "512 B", "3.90 GiB".
std::string human_bytes(double bytes);
/// Plain figure with three or four significant digits: "0.078", "412", "12.3k", "1.86G".
std::string human_number(double value);

}  // namespace titan
