// train_main.h: a training program, from argv to exit code.
#pragma once

namespace titan {

/// Trains as the command line says: `train --config NAME [--section.key=value ...]`, or prints a
/// line for `--version`. Models
/// registered before the call are found beside titan's own. Starts NGPU ranks of this program where
/// NGPU > 1 and no launcher has set rank variables. Exit codes: 0 done, 2 bad input, 3 stopped by a
/// signal after a checkpoint, 128 + n on a second signal n, 1 anything else.
int train_main(int argc, char** argv);

}  // namespace titan
