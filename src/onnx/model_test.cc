#include "onnx/model.h"

#include <gmock/gmock.h>

#include <functional>

#include "base/wire.h"
#include "tensor/tensor_proto.h"

namespace fusee::onnx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using wire::Writer;

std::span<const std::byte> Bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Builders of serialised messages. Field numbers are spelled out: they are what the reader is
// tested against.
using Edit = std::function<void(Writer&)>;
std::string Make(const Edit& edit) {
  Writer out;
  edit(out);
  return out.str();
}
std::string WithType(
    std::string_view name, int64_t type, const Edit& edit = [](Writer&) {}) {
  return Make([&](Writer& w) {
    w.Bytes(1, name);
    edit(w);
    if (type != 0) w.Varint(20, static_cast<uint64_t>(type));
  });
}
std::string NodeBytes(const Edit& edit) { return Make(edit); }
std::string NodeWith(const std::string& attribute) {
  return NodeBytes([&](Writer& w) {
    w.Bytes(4, "Op");
    w.Bytes(5, attribute);
  });
}
std::string GraphOf(const std::string& node) {
  return Make([&](Writer& w) { w.Bytes(1, node); });
}
std::string ModelOf(
    const std::string& graph, const Edit& edit = [](Writer&) {}) {
  return Make([&](Writer& w) {
    w.Varint(1, 8);
    w.Bytes(7, graph);
    edit(w);
  });
}
std::string ModelWithAttribute(const std::string& attribute) {
  return ModelOf(GraphOf(NodeWith(attribute)));
}

Status Refusal(const std::string& bytes, const Limits& limits = {}) {
  auto model = Parse(Bytes(bytes), limits);
  return model.ok() ? OkStatus() : std::move(model).status();
}

TEST(Model, ReadsEveryPart) {
  const std::vector<float> weights = {1, 2};
  const Tensor w = Tensor::Of<float>({2}, weights);
  const std::string dims = Make([](Writer& out) {
    out.Bytes(1, Make([](Writer& d) { d.Varint(1, 3); }));
    out.Bytes(1, Make([](Writer& d) { d.Bytes(2, "batch"); }));
    out.Bytes(1, "");
    out.Bytes(1, Make([](Writer& d) { d.Varint(1, static_cast<uint64_t>(-1)); }));
  });
  const std::string input = Make([&](Writer& out) {
    out.Bytes(1, "x");
    out.Bytes(2, Make([&](Writer& type) {
                type.Bytes(1, Make([&](Writer& tensor) {
                             tensor.Varint(1, 10);
                             tensor.Bytes(2, dims);
                           }));
              }));
  });
  const std::string graph = Make([&](Writer& out) {
    out.Bytes(1, NodeBytes([](Writer& n) {
                n.Bytes(1, "x");
                n.Bytes(1, "");
                n.Bytes(2, "y");
                n.Bytes(4, "Relu");
                n.Bytes(7, "ai.onnx");
              }));
    out.Bytes(2, "main");
    out.Bytes(5, EncodeTensorProto(w.view(), "w"));
    out.Bytes(11, input);
    out.Bytes(12, Make([](Writer& v) { v.Bytes(1, "y"); }));
  });
  const std::string bytes = ModelOf(graph, [](Writer& m) {
    m.Bytes(2, "maker");
    m.Bytes(8, Make([](Writer& o) { o.Varint(2, 17); }));
    m.Bytes(8, Make([](Writer& o) {
              o.Bytes(1, "com.microsoft");
              o.Varint(2, 1);
            }));
    m.Bytes(14, Make([](Writer& e) {
              e.Bytes(1, "key");
              e.Bytes(2, "value");
            }));
    m.Bytes(25, Make([](Writer& f) {
              f.Bytes(1, "Twice");
              f.Bytes(10, "local");
              f.Bytes(4, "a");
              f.Bytes(5, "b");
              f.Bytes(6, "alpha");
              f.Bytes(7, NodeBytes([](Writer& n) { n.Bytes(4, "Add"); }));
              f.Bytes(11, WithType("beta", 1, [](Writer& a) { a.Float(2, 0.5f); }));
              f.Bytes(12, Make([](Writer& v) { v.Bytes(1, "b"); }));
            }));
  });

  const auto model = Parse(Bytes(bytes));
  ASSERT_TRUE(model.ok()) << model.status().message();
  const Model& m = **model;
  EXPECT_EQ(m.ir_version, 8);
  EXPECT_EQ(m.producer_name, "maker");
  EXPECT_EQ(m.OpsetVersion(""), 17);
  EXPECT_EQ(m.OpsetVersion("ai.onnx"), 17);
  EXPECT_EQ(m.OpsetVersion("com.microsoft"), 1);
  EXPECT_EQ(m.OpsetVersion("ai.onnx.ml"), std::nullopt);
  ASSERT_EQ(m.metadata.size(), 1u);
  EXPECT_EQ(m.metadata[0].second, "value");
  ASSERT_EQ(m.graph.nodes.size(), 1u);
  EXPECT_EQ(m.graph.nodes[0].DisplayName(), "Relu_0");
  EXPECT_EQ(m.graph.nodes[0].domain, "");
  EXPECT_THAT(m.graph.nodes[0].inputs, ElementsAre("x", ""));
  EXPECT_EQ(m.graph.nodes[0].FindAttribute("none"), nullptr);
  ASSERT_EQ(m.graph.initializers.size(), 1u);
  EXPECT_EQ(m.graph.initializers[0].name, "w");
  EXPECT_EQ(m.graph.initializers[0].tensor.shape(), (Shape{2}));
  const ValueDecl& x = m.graph.inputs[0];
  EXPECT_EQ(x.kind, ValueDecl::Kind::kTensor);
  EXPECT_EQ(x.onnx_type, 10);
  ASSERT_EQ(x.shape.size(), 4u);
  EXPECT_EQ(x.shape[0].value, 3);
  EXPECT_EQ(x.shape[1].name, "batch");
  EXPECT_FALSE(x.shape[2].value.has_value());
  EXPECT_FALSE(x.shape[3].value.has_value());
  EXPECT_EQ(m.graph.outputs[0].kind, ValueDecl::Kind::kUntyped);
  ASSERT_EQ(m.functions.size(), 1u);
  EXPECT_EQ(m.functions[0].domain, "local");
  EXPECT_THAT(m.functions[0].attributes, ElementsAre("alpha"));
  EXPECT_EQ(m.functions[0].attribute_defaults[0].f, 0.5f);
  EXPECT_EQ(m.functions[0].nodes[0].op_type, "Add");
  EXPECT_FALSE(m.functions[0].attribute_defaults[0].message.empty());
  ASSERT_EQ(m.functions[0].value_infos.size(), 1u);
  EXPECT_EQ(m.functions[0].value_infos[0].name, "b");
}

TEST(Model, WeightsAreNotCopied) {
  TensorView view;
  const auto tensor = Tensor::Allocate(DType::kF32, {1000}, &view);
  ASSERT_TRUE(tensor.ok());
  const std::string bytes =
      ModelOf(Make([&](Writer& g) { g.Bytes(5, EncodeTensorProto(view, "w")); }));
  const auto model = Parse(Bytes(bytes));
  ASSERT_TRUE(model.ok());
  const auto* data = static_cast<const char*>((*model)->graph.initializers[0].tensor.view().data);
  EXPECT_TRUE(data > bytes.data() && data < bytes.data() + bytes.size());
}

TEST(Model, ReadsEveryAttributeType) {
  const Tensor t = Tensor::Of<int64_t>({1}, {5});
  const std::string graph = Make([](Writer& g) { g.Bytes(2, "inner"); });
  const std::string bytes = ModelOf(GraphOf(NodeBytes([&](Writer& n) {
    n.Bytes(5, WithType("f", 1, [](Writer& a) { a.Float(2, 1.5f); }));
    n.Bytes(5, WithType("i", 2, [](Writer& a) { a.Varint(3, static_cast<uint64_t>(-7)); }));
    n.Bytes(5, WithType("s", 3, [](Writer& a) { a.Bytes(4, "text"); }));
    n.Bytes(5, WithType("t", 4, [&](Writer& a) { a.Bytes(5, EncodeTensorProto(t.view())); }));
    n.Bytes(5, WithType("g", 5, [&](Writer& a) { a.Bytes(6, graph); }));
    n.Bytes(5, WithType("floats", 6, [](Writer& a) {
              a.Float(7, 1);
              a.Float(7, 2);
            }));
    n.Bytes(5, WithType("ints", 7, [](Writer& a) {
              a.Bytes(8, std::string_view("\x01\x02", 2));
              a.Varint(8, 3);
            }));
    n.Bytes(5, WithType("strings", 8, [](Writer& a) { a.Bytes(9, "one"); }));
    n.Bytes(5,
            WithType("tensors", 9, [&](Writer& a) { a.Bytes(10, EncodeTensorProto(t.view())); }));
    n.Bytes(5, WithType("graphs", 10, [&](Writer& a) {
              a.Bytes(11, graph);
              a.Bytes(11, graph);
            }));
    n.Bytes(5, WithType("untyped", 0, [](Writer& a) { a.Varint(3, 4); }));
    n.Bytes(5, WithType("zero", 2));  // a proto3 writer leaves out a zero
    n.Bytes(5, WithType("ref", 4, [](Writer& a) { a.Bytes(21, "outer"); }));
  })));
  const auto model = Parse(Bytes(bytes));
  ASSERT_TRUE(model.ok()) << model.status().message();
  const Node& node = (*model)->graph.nodes[0];
  EXPECT_EQ(node.FindAttribute("f")->f, 1.5f);
  EXPECT_EQ(node.FindAttribute("i")->i, -7);
  EXPECT_EQ(node.FindAttribute("s")->s, "text");
  EXPECT_EQ(IntAt(node.FindAttribute("t")->tensors.at(0).tensor.view(), 0), 5);
  EXPECT_EQ(node.FindAttribute("g")->graphs.at(0)->name, "inner");
  EXPECT_THAT(node.FindAttribute("floats")->floats, ElementsAre(1, 2));
  EXPECT_THAT(node.FindAttribute("ints")->ints, ElementsAre(1, 2, 3));
  EXPECT_THAT(node.FindAttribute("strings")->strings, ElementsAre("one"));
  EXPECT_EQ(node.FindAttribute("tensors")->tensors.size(), 1u);
  EXPECT_EQ(node.FindAttribute("graphs")->graphs.size(), 2u);
  EXPECT_EQ(node.FindAttribute("untyped")->type, AttrType::kInt);
  EXPECT_EQ(node.FindAttribute("zero")->i, 0);
  EXPECT_EQ(node.FindAttribute("ref")->ref_attr_name, "outer");
}

TEST(Model, MergesAMessageThatOccursTwice) {
  const std::string first = Make([](Writer& g) {
    g.Bytes(2, "first");
    g.Bytes(1, NodeBytes([](Writer& n) { n.Bytes(4, "A"); }));
  });
  const std::string second = Make([](Writer& g) {
    g.Bytes(2, "second");
    g.Bytes(1, NodeBytes([](Writer& n) { n.Bytes(4, "B"); }));
  });
  const std::string bytes = ModelOf(first, [&](Writer& m) {
    m.Bytes(7, second);
    m.Varint(1, 9);
  });
  const auto model = Parse(Bytes(bytes));
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ((*model)->ir_version, 9);
  EXPECT_EQ((*model)->graph.name, "second");
  ASSERT_EQ((*model)->graph.nodes.size(), 2u);
  EXPECT_EQ((*model)->graph.nodes[1].DisplayName(), "B_1");
}

TEST(Model, AnUnusableTensorIsItsOwnProblem) {
  const auto initializer = [](int type, std::string_view raw) {
    return Make([&](Writer& t) {
      t.Varint(1, 2);
      t.Varint(2, static_cast<uint64_t>(type));
      t.Bytes(8, "bad");
      t.Bytes(9, raw);
    });
  };
  const std::string sparse = Make([&](Writer& s) { s.Bytes(1, initializer(1, "12345678")); });
  const std::string external = Make([](Writer& t) {
    t.Varint(2, 1);
    t.Varint(14, 1);
  });
  const std::string bytes = ModelOf(Make([&](Writer& g) {
    g.Bytes(5, initializer(14, "12"));
    g.Bytes(5, initializer(8, "1"));
    g.Bytes(5, initializer(1, "1234"));
    g.Bytes(15, sparse);
    g.Bytes(5, external);
    g.Bytes(5, initializer(1, "12345678"));
  }));
  const auto model = Parse(Bytes(bytes));
  ASSERT_TRUE(model.ok()) << model.status().message();
  const auto& tensors = (*model)->graph.initializers;
  ASSERT_EQ(tensors.size(), 6u);
  EXPECT_EQ(tensors[0].problem.code(), StatusCode::kUnimplemented);
  EXPECT_THAT(tensors[0].problem.message(),
              HasSubstr("graph.initializer[0] 'bad': tensors of complex64"));
  EXPECT_THAT(tensors[1].problem.message(), HasSubstr("string"));
  EXPECT_THAT(tensors[2].problem.message(), HasSubstr("raw_data has 4 bytes, expected 8"));
  EXPECT_THAT(tensors[3].problem.message(), HasSubstr("graph.sparse_initializer[0] 'bad': sparse"));
  EXPECT_THAT(tensors[4].problem.message(), HasSubstr("graph.initializer[3]"));
  EXPECT_THAT(tensors[4].problem.message(), HasSubstr("load the model from its file"));
  EXPECT_TRUE(tensors[5].tensor.present());
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(tensors[static_cast<size_t>(i)].tensor.present());
}

TEST(Model, RefusesWithOffsetAndPath) {
  const auto dim = [](int64_t value) {
    const std::string d = Make([&](Writer& w) { w.Varint(1, static_cast<uint64_t>(value)); });
    const std::string shape = Make([&](Writer& w) { w.Bytes(1, d); });
    const std::string tensor = Make([&](Writer& w) { w.Bytes(2, shape); });
    const std::string type = Make([&](Writer& w) { w.Bytes(1, tensor); });
    const std::string value_info = Make([&](Writer& w) { w.Bytes(2, type); });
    return ModelOf(Make([&](Writer& g) { g.Bytes(11, value_info); }));
  };
  const auto import = [](std::string_view domain, uint64_t version) {
    return Make([&](Writer& w) {
      w.Bytes(1, domain);
      w.Varint(2, version);
    });
  };
  const struct {
    std::string bytes;
    const char* says;
  } cases[] = {
      {"", "it is empty"},
      {"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"},
      {"\x93NUMPZ", "byte 0: "},
      {Make([](Writer& m) { m.Varint(1, 8); }), "there is no graph"},
      {Make([](Writer& m) { m.Bytes(7, ""); }), "ir_version is 0, expected 1 to 99"},
      {ModelOf("", [](Writer& m) { m.Varint(1, 100); }), "ir_version is 100"},
      {ModelOf("", [](Writer& m) { m.Varint(1, static_cast<uint64_t>(-1)); }), "ir_version is -1"},
      {Make([](Writer& m) { m.Varint(7, 1); }), "byte 0, graph: expected length-delimited bytes"},
      {ModelOf(GraphOf("\x0a\x05")), "byte 6, graph.node[0]: field 1 claims 5 bytes, 0 are left"},
      {ModelOf(Make([](Writer& g) { g.Varint(2, 1); })),
       "byte 4, graph.name: expected length-delimited bytes"},
      {ModelWithAttribute(WithType("a", 15)),
       "graph.node[0].attribute[0] 'a': type 15, expected 1 to 14"},
      {ModelWithAttribute(WithType("a", 2, [](Writer& a) { a.Float(2, 1); })),
       "'a': type INT, but a value of type FLOAT"},
      {ModelWithAttribute(WithType("a", 2,
                                   [](Writer& a) {
                                     a.Float(2, 1);
                                     a.Varint(3, 1);
                                   })),
       "'a': values of more than one type"},
      {ModelWithAttribute(WithType("a", 4)), "'a': type TENSOR without a value"},
      {ModelWithAttribute(WithType("a", 5)), "'a': type GRAPH without a value"},
      {ModelWithAttribute(WithType("a", 7, [](Writer& a) { a.Bytes(8, "\x80"); })),
       "attribute[0].ints: a packed varint is cut off"},
      {ModelWithAttribute(WithType("a", 6, [](Writer& a) { a.Bytes(7, "123"); })),
       "attribute[0].floats: packed values of 4 bytes"},
      {ModelWithAttribute(WithType("a", 5, [](Writer& a) { a.Bytes(6, "\x0b"); })),
       "attribute[0].g: field 1 is a group"},
      {dim(-2),
       "graph.input[0].type.tensor_type.shape.dim[0].dim_value: expected 0 or more, got -2"},
      {ModelOf("",
               [&](Writer& m) {
                 m.Bytes(8, import("", 17));
                 m.Bytes(8, import("ai.onnx", 18));
               }),
       "domain '' is imported in version 17 and in version 18"},
  };
  for (const auto& c : cases) {
    const Status status = Refusal(c.bytes);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << c.says;
    EXPECT_THAT(status.message(), HasSubstr(c.says));
  }
}

TEST(Model, HoldsEveryLimit) {
  const std::string two_nodes = Make([](Writer& g) {
    g.Bytes(1, "");
    g.Bytes(1, "");
  });
  std::string deep = Make([](Writer& g) { g.Bytes(2, "leaf"); });
  for (int i = 0; i < 3; ++i)
    deep = GraphOf(NodeWith(WithType("body", 5, [&](Writer& a) { a.Bytes(6, deep); })));
  const std::string many_ints =
      ModelWithAttribute(WithType("a", 7, [](Writer& a) { a.Bytes(8, std::string(100, '\1')); }));
  const std::string two_tensors = Make([](Writer& g) {
    g.Bytes(5, "");
    g.Bytes(5, "");
  });
  const auto limits = [](auto edit) {
    Limits l;
    edit(l);
    return l;
  };
  const struct {
    std::string bytes;
    Limits limits;
    const char* says;
  } cases[] = {
      {ModelOf(two_nodes), limits([](Limits& l) { l.max_nodes = 1; }),
       "graph: 2 nodes so far, the limit is 1"},
      {ModelOf(two_tensors), limits([](Limits& l) { l.max_initializers = 1; }),
       "2 initializers so far"},
      {ModelOf(deep), limits([](Limits& l) { l.max_depth = 2; }),
       "graphs nested 3 deep, the limit is 2"},
      {many_ints, limits([](Limits& l) { l.max_attribute_elements = 99; }),
       "100 attribute elements so far"},
      {many_ints, limits([](Limits& l) { l.memory_slack_bytes = 100; }),
       "far larger in memory than in the file"},
  };
  for (const auto& c : cases) {
    EXPECT_TRUE(Refusal(c.bytes).ok()) << Refusal(c.bytes).message();
    const Status status = Refusal(c.bytes, c.limits);
    EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status.message();
    EXPECT_THAT(status.message(), HasSubstr(c.says));
  }
}

// Two bytes of file ask for a struct of more than a hundred: the budget must stop it long before
// max_nodes.
TEST(Model, EmptyNodesCannotExhaustMemory) {
  std::string graph;
  for (int i = 0; i < 1 << 20; ++i) graph += std::string_view("\x0a\x00", 2);
  const Status status = Refusal(ModelOf(graph));
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status.message();
  EXPECT_THAT(status.message(), HasSubstr("far larger in memory than in the file"));
}

// Merging is where a naive reserve would be quadratic: a million graphs of one node each.
TEST(Model, ManyOccurrencesOfTheGraphAreLinear) {
  Writer model;
  model.Varint(1, 8);
  const std::string graph = GraphOf("");
  for (int i = 0; i < 100000; ++i) model.Bytes(7, graph);
  const auto read = Parse(Bytes(model.str()));
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ((*read)->graph.nodes.size(), 100000u);
}

}  // namespace
}  // namespace fusee::onnx
