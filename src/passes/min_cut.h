// Minimum cut of a small directed graph: how push_transposes decides for many nodes at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fusee::passes {

// Build with AddNode and AddEdge, then Solve once. Single-threaded. Cost: O(nodes^2 edges) at worst
// (Dinic), near linear on the sparse graphs it is used for.
class MinCut {
 public:
  static constexpr size_t kSource = 0;
  static constexpr size_t kSink = 1;
  static constexpr int64_t kInfinite = int64_t{1} << 60;

  MinCut() : edges_of_(2) {}

  size_t AddNode();
  // A cut that has `from` on the source's side and `to` on the sink's costs `capacity`. Capacities
  // are not negative, and the finite ones add up to less than kInfinite.
  void AddEdge(size_t from, size_t to, int64_t capacity);

  struct Cut {
    int64_t cost = 0;
    std::vector<bool> source_side;  // by node; the smallest set among the cheapest cuts
  };
  Cut Solve();

 private:
  struct Edge {
    size_t to = 0;
    int64_t capacity = 0;  // what is left of it
  };
  bool Label();
  int64_t Augment();

  std::vector<Edge> edges_;                    // 2k and 2k + 1 are each other's reverse
  std::vector<std::vector<size_t>> edges_of_;  // by node
  std::vector<size_t> level_, next_;
};

}  // namespace fusee::passes
