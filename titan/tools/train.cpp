// The trainer as a program.
#include "titan/train/train_main.h"

int main(int argc, char** argv) { return titan::train_main(argc, argv); }
