// What is in a file? Google's Magika, a network that reads a file's first and last bytes, as a
// plan.
//
//   c++ -std=c++17 magika.cc -o magika $(pkg-config --cflags --libs fusee RapidJSON)
//   ./magika magika.plan config.min.json content_types_kb.min.json FILE ...
//   ./magika --mode best-guess ...          the network's label however unsure it is
//
// Prints a line for each file: its path, label and score, with tabs between them.
//
// How bytes become the network's input, and its scores a label, follows Magika's own metadata:
//
//   first block_size bytes, leading white space off    -> the first beg_size of them \  padded with
//   last block_size bytes, trailing white space off    -> the last end_size of them  /
//   padding_token
//
// A file with too few bytes for that is txt or unknown by whether it is UTF-8; a label of which the
// network is not sure enough becomes txt or unknown by whether it is one of texts.
#include <stdexcept>
// What the metadata does not hold as it should is an exception, not an abort.
#define RAPIDJSON_ASSERT(x) \
  ((x) ? void() : throw std::runtime_error("the metadata is not as expected: " #x))
#include <rapidjson/document.h>
#include <rapidjson/istreamwrapper.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <fusee/fusee.hpp>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

enum class Mode { kHighConfidence, kMediumConfidence, kBestGuess };

struct Metadata {
  size_t beg_size, end_size, block_size, min_file_size;
  int32_t padding_token;
  double medium_confidence;
  std::vector<std::string> labels;
  std::map<std::string, double> thresholds;  // those that are not medium_confidence
  std::map<std::string, std::string> overwrite;
  std::set<std::string> texts;  // labels of text
};

struct Verdict {
  std::string label;
  double score;
};

rapidjson::Document ReadJson(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read '" + path + "'");
  rapidjson::IStreamWrapper stream(file);
  rapidjson::Document json;
  json.ParseStream(stream);
  if (json.HasParseError() || !json.IsObject())
    throw std::runtime_error("'" + path + "' is no JSON object");
  return json;
}

const rapidjson::Value& Member(const rapidjson::Value& json, const char* name) {
  const auto it = json.FindMember(name);
  if (it == json.MemberEnd()) throw std::runtime_error(std::string("no member '") + name + "'");
  return it->value;
}

Metadata ReadMetadata(const std::string& config_path, const std::string& types_path) {
  const rapidjson::Document config = ReadJson(config_path), types = ReadJson(types_path);
  Metadata m;
  m.beg_size = Member(config, "beg_size").GetUint();
  m.end_size = Member(config, "end_size").GetUint();
  m.block_size = Member(config, "block_size").GetUint();
  m.min_file_size = Member(config, "min_file_size_for_dl").GetUint();
  m.padding_token = Member(config, "padding_token").GetInt();
  m.medium_confidence = Member(config, "medium_confidence_threshold").GetDouble();
  if (Member(config, "mid_size").GetUint() != 0 ||
      Member(config, "use_inputs_at_offsets").GetBool())
    throw std::runtime_error("'" + config_path + "' wants features that this program does not cut");
  if (m.min_file_size < 1 || m.min_file_size > m.beg_size)
    throw std::runtime_error("'" + config_path + "': min_file_size_for_dl is out of range");
  for (const auto& label : Member(config, "target_labels_space").GetArray())
    m.labels.emplace_back(label.GetString());
  for (const auto& t : Member(config, "thresholds").GetObject())
    m.thresholds[t.name.GetString()] = t.value.GetDouble();
  for (const auto& o : Member(config, "overwrite_map").GetObject())
    m.overwrite[o.name.GetString()] = o.value.GetString();
  for (const auto& type : types.GetObject()) {
    if (Member(type.value, "is_text").GetBool()) m.texts.insert(type.name.GetString());
  }
  return m;
}

// The two ends of a file; both are the whole of a file of one block or less.
struct Ends {
  std::vector<uint8_t> first, last;
};

Ends ReadEnds(const std::string& path, size_t block_size) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = file ? static_cast<std::streamoff>(file.tellg()) : -1;
  const std::streamoff block =
      std::min<std::streamoff>(size, static_cast<std::streamoff>(block_size));
  Ends ends;
  if (size >= 0) {
    ends.first.resize(static_cast<size_t>(block));
    ends.last.resize(static_cast<size_t>(block));
    file.seekg(0).read(reinterpret_cast<char*>(ends.first.data()), block);
    file.seekg(size - block).read(reinterpret_cast<char*>(ends.last.data()), block);
  }
  if (!file) throw std::runtime_error("cannot read '" + path + "'");
  return ends;
}

bool IsSpace(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// beg_size tokens from the front, padded behind; end_size from the back, padded before.
std::vector<int32_t> CutFeatures(const Ends& ends, const Metadata& m) {
  std::vector<int32_t> tokens(m.beg_size + m.end_size, m.padding_token);
  const auto begin = std::find_if_not(ends.first.begin(), ends.first.end(), IsSpace);
  const size_t front = std::min(m.beg_size, static_cast<size_t>(ends.first.end() - begin));
  std::copy_n(begin, front, tokens.begin());
  const auto end = std::find_if_not(ends.last.rbegin(), ends.last.rend(), IsSpace);
  const size_t back = std::min(m.end_size, static_cast<size_t>(ends.last.rend() - end));
  std::copy_n(end, back, tokens.rbegin());
  return tokens;
}

// Strictly: no overlong forms, no surrogates, nothing cut off.
bool IsUtf8(const std::vector<uint8_t>& bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const uint8_t lead = bytes[i++];
    if (lead < 0x80) continue;
    const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4) return false;
    uint32_t code = lead & (0x3Fu >> more);
    for (int k = 0; k < more; ++k, ++i) {
      if (i == bytes.size() || (bytes[i] & 0xC0) != 0x80) return false;
      code = code << 6 | (bytes[i] & 0x3Fu);
    }
    if (more == 2 && (code < 0x800 || (code >= 0xD800 && code < 0xE000))) return false;
    if (more == 3 && (code < 0x10000 || code > 0x10FFFF)) return false;
  }
  return true;
}

// Whether the network is to be asked, or there is too little to show it.
bool NeedsNetwork(const Ends& ends, const std::vector<int32_t>& tokens, const Metadata& m) {
  return ends.first.size() >= m.min_file_size && tokens[m.min_file_size - 1] != m.padding_token;
}

Verdict JudgeFewBytes(const Ends& ends) {
  if (ends.first.empty()) return {"empty", 1};
  return {IsUtf8(ends.first) ? "txt" : "unknown", 1};
}

Verdict JudgeScores(const float* scores, const Metadata& m, Mode mode) {
  const size_t best =
      static_cast<size_t>(std::max_element(scores, scores + m.labels.size()) - scores);
  const std::string& raw = m.labels[best];
  const auto replaced = m.overwrite.find(raw);
  const std::string& label = replaced == m.overwrite.end() ? raw : replaced->second;
  const auto own = m.thresholds.find(raw);
  double least = 0;
  if (mode != Mode::kBestGuess) least = m.medium_confidence;
  if (mode == Mode::kHighConfidence && own != m.thresholds.end()) least = own->second;
  const double score = static_cast<double>(scores[best]);
  if (score >= least) return {label, score};
  return {m.texts.count(label) != 0 ? "txt" : "unknown", score};
}

// Runs as many rows at once as the plan allows.
class Network {
 public:
  Network(const std::string& path, const Metadata& metadata)
      : plan_(fusee::Plan::Load(path).or_throw()),
        context_(fusee::Context::Create(plan_).or_throw()),
        columns_(metadata.beg_size + metadata.end_size),
        labels_(metadata.labels.size()) {
    const fusee_io_info in = plan_.input(0).or_throw(), out = plan_.output(0).or_throw();
    if (in.dtype != FUSEE_I32 || in.rank != 2 || out.dtype != FUSEE_F32 || out.rank != 2 ||
        in.max_shape[1] != static_cast<int64_t>(columns_) ||
        out.max_shape[1] != static_cast<int64_t>(labels_))
      throw std::runtime_error("'" + path + "' is not the plan of the network of this metadata");
    rows_max_ = static_cast<size_t>(in.max_shape[0]);
  }

  // rows: of columns_ tokens each. A score for each label, row after row.
  std::vector<float> Run(const std::vector<int32_t>& tokens) {
    std::vector<float> scores;
    for (size_t at = 0; at < tokens.size(); at += rows_max_ * columns_) {
      const size_t count = std::min(tokens.size() - at, rows_max_ * columns_);
      context_
          .SetInputShape(0,
                         {static_cast<int64_t>(count / columns_), static_cast<int64_t>(columns_)})
          .or_throw();
      context_.BindInput(0, tokens.data() + at, count * sizeof(int32_t)).or_throw();
      context_.Run().or_throw();
      const fusee_tensor out = context_.Output(0).or_throw();
      const auto* data = static_cast<const float*>(out.data);
      scores.insert(scores.end(), data, data + out.bytes / sizeof(float));
    }
    return scores;
  }

 private:
  fusee::Plan plan_;
  fusee::Context context_;
  size_t columns_, labels_, rows_max_ = 1;
};

int Identify(std::vector<std::string> arguments) {
  Mode mode = Mode::kHighConfidence;
  if (arguments.size() > 1 && arguments[0] == "--mode") {
    const std::map<std::string, Mode> modes = {{"high-confidence", Mode::kHighConfidence},
                                               {"medium-confidence", Mode::kMediumConfidence},
                                               {"best-guess", Mode::kBestGuess}};
    const auto it = modes.find(arguments[1]);
    if (it == modes.end()) throw std::runtime_error("no mode '" + arguments[1] + "'");
    mode = it->second;
    arguments.erase(arguments.begin(), arguments.begin() + 2);
  }
  if (arguments.size() < 4) {
    std::fputs(
        "usage: magika [--mode high-confidence|medium-confidence|best-guess] PLAN CONFIG.json "
        "CONTENT_TYPES.json FILE ...\n",
        stderr);
    return 2;
  }
  const Metadata metadata = ReadMetadata(arguments[1], arguments[2]);
  Network network(arguments[0], metadata);
  const std::vector<std::string> files(arguments.begin() + 3, arguments.end());
  std::vector<Verdict> verdicts(files.size());
  std::vector<size_t> asked;  // files for the network, in the order of their rows
  std::vector<int32_t> rows;
  for (size_t i = 0; i < files.size(); ++i) {
    const Ends ends = ReadEnds(files[i], metadata.block_size);
    const std::vector<int32_t> tokens = CutFeatures(ends, metadata);
    if (NeedsNetwork(ends, tokens, metadata)) {
      asked.push_back(i);
      rows.insert(rows.end(), tokens.begin(), tokens.end());
    } else {
      verdicts[i] = JudgeFewBytes(ends);
    }
  }
  const std::vector<float> scores = network.Run(rows);
  for (size_t row = 0; row < asked.size(); ++row)
    verdicts[asked[row]] = JudgeScores(&scores[row * metadata.labels.size()], metadata, mode);
  for (size_t i = 0; i < files.size(); ++i)
    std::printf("%s\t%s\t%.6f\n", files[i].c_str(), verdicts[i].label.c_str(), verdicts[i].score);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Identify(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "magika: %s\n", e.what());
    return 1;
  }
}
