// What the server calls itself. The name is Triton's, because its clients and tests compare it.
#pragma once

namespace fusee::server {

inline constexpr const char* kServerName = "triton";
inline constexpr const char* kServerVersion = "0.1.0";
// Only what is implemented: clients switch features on by this list.
inline constexpr const char* kExtensions[] = {"binary_tensor_data", "model_configuration",
                                              "model_repository",   "parameters",
                                              "schedule_policy",    "statistics"};

}  // namespace fusee::server
