// From wire format to the structs of model.h. Private to this room; the entry points are in
// model.h.
//
// One function per message of onnx.proto. Each reads *one occurrence* of the message into a struct
// that may already hold an earlier one, because protobuf merges a singular message that occurs
// twice (repeated fields append, scalars are replaced). Every vector is sized before it is filled,
// and its bytes come out of the budget first.
#pragma once

#include <memory>
#include <vector>

#include "base/wire.h"
#include "onnx/external_data.h"
#include "onnx/model.h"

namespace fusee::onnx {

class ModelReader {
 public:
  // owner keeps the bytes alive (null: the caller does); external may be null: external data is
  // then a problem of the tensor that asks for it.
  ModelReader(const Limits& limits, std::shared_ptr<const void> owner, ExternalData* external)
      : limits_(limits), owner_(std::move(owner)), external_(external) {}

  Status ReadModel(wire::Reader in, Model* model);

 private:
  Status ReadGraph(wire::Reader in, int depth, Graph* graph);
  Status ReadNode(wire::Reader in, int depth, Node* node);
  Status ReadAttribute(wire::Reader in, int depth, Attribute* attribute);
  Status ReadFunction(wire::Reader in, Function* function);
  Status ReadTensor(wire::Reader in, TensorRef* tensor);
  Status ReadSparseInitializer(wire::Reader in, TensorRef* tensor);
  Status ReadValue(wire::Reader in, ValueDecl* value);
  Status ReadType(wire::Reader in, ValueDecl* value);
  Status ReadTensorType(wire::Reader in, ValueDecl* value);
  Status ReadShape(wire::Reader in, ValueDecl* value);
  Status ReadDimension(wire::Reader in, DimDecl* dim);
  Status ReadOpsetImport(wire::Reader in,
                         std::vector<std::pair<std::string_view, int64_t>>* imports);

  // Judges a tensor's content; what is wrong with it becomes its problem, not the model's. Only a
  // lack of budget fails.
  Status FinishTensor(const wire::Reader& in, const TensorProto& proto, TensorRef* tensor);
  Status Count(const wire::Reader& in, size_t more, size_t limit, const char* what, size_t* total);

  Limits limits_;
  std::shared_ptr<const void> owner_;
  ExternalData* external_;
  // Totals over all graphs and functions.
  size_t nodes_ = 0;
  size_t initializers_ = 0;
  size_t attribute_elements_ = 0;
};

}  // namespace fusee::onnx
