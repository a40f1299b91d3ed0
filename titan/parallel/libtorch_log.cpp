#include "titan/parallel/libtorch_log.h"

#include <cstdlib>

#include <c10/util/Logging.h>

namespace titan::parallel {

void quiet_libtorch() {
  setenv("TORCH_CPP_LOG_LEVEL", "ERROR", /*overwrite=*/0);
  setenv("KINETO_LOG_LEVEL", "5", /*overwrite=*/0);
  c10::initLogging();  // reads the variable; nobody calls it in a program without Python
}

}  // namespace titan::parallel
