#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>

namespace fusee {

void InitLog(const char* level) {
  auto logger =
      std::make_shared<spdlog::logger>("fusee", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %L %v");
  logger->set_level(spdlog::level::from_str(level));
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace fusee
