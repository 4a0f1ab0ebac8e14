#include "passes/min_cut.h"

#include <gtest/gtest.h>

#include "tensor/random.h"

namespace fusee::passes {
namespace {

TEST(MinCut, NoPathCostsNothing) {
  MinCut graph;
  const size_t a = graph.AddNode();
  graph.AddEdge(MinCut::kSource, a, 5);
  const MinCut::Cut cut = graph.Solve();
  EXPECT_EQ(cut.cost, 0);
  EXPECT_TRUE(cut.source_side[a]);
}

TEST(MinCut, TakesTheSmallerOfTwoSets) {
  MinCut graph;
  const size_t a = graph.AddNode();
  graph.AddEdge(MinCut::kSource, a, 3);
  graph.AddEdge(a, MinCut::kSink, 3);
  const MinCut::Cut cut = graph.Solve();
  EXPECT_EQ(cut.cost, 3);
  EXPECT_FALSE(cut.source_side[a]);
}

// Every assignment tried, on random graphs of up to 8 inner nodes.
TEST(MinCut, CostsWhatTheBestAssignmentCosts) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    auto random = [&, n = uint64_t{0}](uint64_t limit) mutable {
      return RandomBits(seed, 1, n++) % limit;
    };
    const size_t nodes = 2 + random(9);
    struct Edge {
      size_t from, to;
      int64_t capacity;
    };
    std::vector<Edge> edges;
    MinCut graph;
    for (size_t i = 2; i < nodes; ++i) graph.AddNode();
    for (uint64_t i = 0; i < 3 * nodes; ++i) {
      const Edge e{random(nodes), random(nodes), static_cast<int64_t>(random(10))};
      if (e.from == e.to) continue;
      edges.push_back(e);
      graph.AddEdge(e.from, e.to, e.capacity);
    }
    const auto cost = [&](uint64_t set) {
      int64_t sum = 0;
      for (const Edge& e : edges) {
        if ((set >> e.from & 1) != 0 && (set >> e.to & 1) == 0) sum += e.capacity;
      }
      return sum;
    };
    int64_t best = MinCut::kInfinite;
    for (uint64_t set = 1; set < uint64_t{1} << nodes; ++set) {
      if ((set & 3) == 1) best = std::min(best, cost(set));
    }
    const MinCut::Cut cut = graph.Solve();
    EXPECT_EQ(cut.cost, best);
    uint64_t found = 0;
    for (size_t i = 0; i < nodes; ++i) found |= uint64_t{cut.source_side[i]} << i;
    EXPECT_EQ(found & 3, 1U);
    EXPECT_EQ(cost(found), best);
  }
}

}  // namespace
}  // namespace fusee::passes
