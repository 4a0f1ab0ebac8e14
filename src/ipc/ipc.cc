// The room is headers only so far; this file makes it a library that others can link.
#include "ipc/executor.h"
