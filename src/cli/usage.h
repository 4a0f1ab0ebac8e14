// What is wrong with a command line, in words that say which word is meant and what to do about it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace fusee::cli {

// The choice that somebody who typed word probably meant; empty when none is near. Near: a third of
// its letters are wrong, missing, too many or swapped, at most; or it is the one choice that begins
// or ends so. Case and leading dashes do not count. Ties fall to the earlier choice. Pure.
std::string Nearest(std::string_view word, const std::vector<std::string>& choices);

// kInvalidArgument for what CLI11 could not parse. app: the program, its commands below it.
Status UsageError(const CLI::ParseError& error, const CLI::App& app);

// The same for a first word that is no command.
Status NoSuchCommand(std::string_view word, const CLI::App& app);

}  // namespace fusee::cli
