#include "passes/min_cut.h"

#include <algorithm>
#include <limits>

namespace fusee::passes {
namespace {
constexpr size_t kUnseen = std::numeric_limits<size_t>::max();
}  // namespace

size_t MinCut::AddNode() {
  edges_of_.emplace_back();
  return edges_of_.size() - 1;
}

void MinCut::AddEdge(size_t from, size_t to, int64_t capacity) {
  edges_of_[from].push_back(edges_.size());
  edges_.push_back({to, capacity});
  edges_of_[to].push_back(edges_.size());
  edges_.push_back({from, 0});
}

// Distances from the source over edges with capacity left; false when the sink is out of reach.
bool MinCut::Label() {
  level_.assign(edges_of_.size(), kUnseen);
  level_[kSource] = 0;
  std::vector<size_t> queue = {kSource};
  for (size_t i = 0; i < queue.size(); ++i) {
    for (size_t e : edges_of_[queue[i]]) {
      if (edges_[e].capacity == 0 || level_[edges_[e].to] != kUnseen) continue;
      level_[edges_[e].to] = level_[queue[i]] + 1;
      queue.push_back(edges_[e].to);
    }
  }
  return level_[kSink] != kUnseen;
}

// Sends flow along one shortest path; 0 when none is left. Walks with a stack of its own: paths are
// as long as the model is deep.
int64_t MinCut::Augment() {
  std::vector<size_t> path;  // edges
  size_t at = kSource;
  while (at != kSink) {
    bool stuck = true;
    for (; next_[at] < edges_of_[at].size(); ++next_[at]) {
      const Edge& edge = edges_[edges_of_[at][next_[at]]];
      if (edge.capacity == 0 || level_[edge.to] != level_[at] + 1) continue;
      path.push_back(edges_of_[at][next_[at]]);
      at = edge.to;
      stuck = false;
      break;
    }
    if (!stuck) continue;
    if (path.empty()) return 0;
    at = edges_[path.back() ^ 1].to;
    ++next_[at];
    path.pop_back();
  }
  int64_t flow = kInfinite;
  for (size_t e : path) flow = std::min(flow, edges_[e].capacity);
  for (size_t e : path) {
    edges_[e].capacity -= flow;
    edges_[e ^ 1].capacity += flow;
  }
  return flow;
}

MinCut::Cut MinCut::Solve() {
  Cut cut;
  while (Label()) {
    next_.assign(edges_of_.size(), 0);
    while (const int64_t flow = Augment()) cut.cost += flow;
  }
  for (size_t level : level_) cut.source_side.push_back(level != kUnseen);
  return cut;
}

}  // namespace fusee::passes
