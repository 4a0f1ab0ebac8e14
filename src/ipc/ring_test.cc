#include "ipc/ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <thread>

#include "ipc/shared_memory.h"

namespace fusee::ipc {
namespace {

constexpr size_t kCapacity = kRingBytesMin;
constexpr size_t kHeaderBytes = 32;

class RingTest : public testing::Test {
 protected:
  RingTest()
      : memory_(*SharedMemory::Create("ring-test", RingMemory::BytesFor(kCapacity))),
        ring_(memory_.bytes().first(RingMemory::BytesFor(kCapacity))),
        writer_(ring_),
        reader_(ring_) {}

  static std::vector<std::byte> Payload(size_t bytes, unsigned seed = 1) {
    std::vector<std::byte> out(bytes);
    for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>(i * 7 + seed);
    return out;
  }
  Status Write(size_t bytes, uint16_t type = 1) {
    return writer_.Write({.type = type}, Payload(bytes, type));
  }
  StatusCode ReadCode() {
    Message message;
    return reader_.Read(&message).status().code();
  }

  SharedMemory memory_;
  RingMemory ring_;
  RingWriter writer_;
  RingReader reader_;
};

TEST_F(RingTest, AnEmptyRingHasNoMessage) {
  Message message;
  EXPECT_FALSE(*reader_.Read(&message));
}

TEST_F(RingTest, WhatIsWrittenIsReadInOrder) {
  const MessageHeader header{.type = 5, .flags = kFinal, .state = 77, .about = 99};
  ASSERT_TRUE(writer_.Write(header, Payload(3)).ok());
  ASSERT_TRUE(Write(0, 6).ok());
  Message message;
  ASSERT_TRUE(*reader_.Read(&message));
  EXPECT_EQ(message.header.type, 5);
  EXPECT_EQ(message.header.flags, kFinal);
  EXPECT_EQ(message.header.sequence, 1u);
  EXPECT_EQ(message.header.state, 77u);
  EXPECT_EQ(message.header.about, 99u);
  EXPECT_EQ(message.payload, Payload(3));
  ASSERT_TRUE(*reader_.Read(&message));
  EXPECT_EQ(message.header.type, 6);
  EXPECT_EQ(message.header.sequence, 2u);
  EXPECT_FALSE(*reader_.Read(&message));
}

// Every length meets every position of the wrap, more or less.
TEST_F(RingTest, EveryLengthSurvivesTheWrap) {
  Message message;
  for (size_t bytes = 0; bytes <= kCapacity / 2 - kHeaderBytes; ++bytes) {
    ASSERT_TRUE(Write(bytes).ok()) << bytes;
    ASSERT_TRUE(*reader_.Read(&message)) << bytes;
    ASSERT_EQ(message.payload, Payload(bytes)) << bytes;
  }
}

TEST_F(RingTest, AFullRingRefusesAndGoesOnOnceRead) {
  int written = 0;
  while (Write(100).ok()) ++written;
  EXPECT_EQ(Write(100).code(), StatusCode::kResourceExhausted);
  EXPECT_GT(written, 20);
  Message message;
  ASSERT_TRUE(*reader_.Read(&message));
  EXPECT_TRUE(Write(100).ok());
}

TEST_F(RingTest, AMessageLargerThanHalfTheRingIsRefused) {
  EXPECT_TRUE(Write(kCapacity / 2 - kHeaderBytes).ok());
  EXPECT_EQ(Write(kCapacity / 2 - kHeaderBytes + 1).code(), StatusCode::kInvalidArgument);
}

// A writer that dies before it publishes leaves nothing behind.
TEST_F(RingTest, AHalfWrittenRecordIsNotSeen) {
  std::memset(ring_.data, 0xee, 64);
  Message message;
  EXPECT_FALSE(*reader_.Read(&message));
}

TEST_F(RingTest, APublishedCountThatCannotBeIsDataLoss) {
  for (uint64_t head : {uint64_t{1}, uint64_t{31}, uint64_t{kCapacity} + 1, UINT64_MAX}) {
    RingReader reader(ring_);
    ring_.head->store(head);
    Message message;
    EXPECT_EQ(reader.Read(&message).status().code(), StatusCode::kDataLoss) << head;
  }
}

TEST_F(RingTest, ALengthBeyondWhatWasPublishedIsDataLoss) {
  for (uint32_t bytes : {uint32_t{1000}, uint32_t{kMessageBytesMax} + 1, UINT32_MAX}) {
    RingReader reader(ring_);
    std::memcpy(ring_.data, &bytes, sizeof(bytes));
    ring_.head->store(64);
    Message message;
    EXPECT_EQ(reader.Read(&message).status().code(), StatusCode::kDataLoss) << bytes;
  }
}

TEST_F(RingTest, ASequenceThatSkipsIsDataLoss) {
  ASSERT_TRUE(Write(0).ok());
  const uint64_t sequence = 2;
  std::memcpy(ring_.data + 8, &sequence, sizeof(sequence));
  EXPECT_EQ(ReadCode(), StatusCode::kDataLoss);
}

TEST_F(RingTest, OnceBrokenAlwaysBroken) {
  ring_.head->store(1);
  EXPECT_EQ(ReadCode(), StatusCode::kDataLoss);
  ring_.head->store(0);
  EXPECT_EQ(ReadCode(), StatusCode::kDataLoss);
}

TEST_F(RingTest, AReadersCountThatCannotBeStopsTheWriter) {
  ring_.tail->store(5);  // ahead of everything written
  EXPECT_EQ(Write(0).code(), StatusCode::kDataLoss);
}

// Neither side believes the shared copy of its own count.
TEST_F(RingTest, OwnCountsCannotBeMovedFromOutside) {
  ASSERT_TRUE(Write(8).ok());
  ring_.tail->store(0);
  Message message;
  ASSERT_TRUE(*reader_.Read(&message));
  ring_.tail->store(0);
  EXPECT_FALSE(*reader_.Read(&message));
}

TEST_F(RingTest, RandomBytesNeverLeadAstray) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 2000; ++round) {
    for (size_t i = 0; i < kCapacity; i += 8) {
      const uint64_t word = round % 2 == 0 ? random() : random() % 64;
      std::memcpy(ring_.data + i, &word, 8);
    }
    ring_.head->store(random() % (2 * kCapacity));
    RingReader reader(ring_);
    Message message;
    for (int i = 0; i < 200; ++i) {
      const auto read = reader.Read(&message);
      if (!read.ok() || !*read) break;
      ASSERT_LE(message.payload.size(), kCapacity);
    }
  }
}

TEST_F(RingTest, TwoThreadsExchangeEveryMessageOnce) {
  constexpr uint64_t kMessages = 5'000;
  std::thread other([&] {
    for (uint64_t i = 0; i < kMessages;) {
      if (writer_.Write({.about = i}, Payload(i % 300)).ok())
        ++i;
      else
        std::this_thread::yield();
    }
  });
  Message message;
  for (uint64_t i = 0; i < kMessages;) {
    const auto read = reader_.Read(&message);
    ASSERT_TRUE(read.ok()) << read.status().message();
    if (!*read) {
      std::this_thread::yield();
      continue;
    }
    ASSERT_EQ(message.header.about, i);
    ASSERT_EQ(message.payload, Payload(i % 300));
    ++i;
  }
  other.join();
}

// A writer process dies wherever it happens to be; whatever is in the ring is whole.
TEST_F(RingTest, AWriterKilledAnywhereLeavesWholeMessagesOnly) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  constexpr size_t kBytes = 1500;
  for (int round = 0; round < 20; ++round) {
    auto memory = SharedMemory::Create("killed", RingMemory::BytesFor(kCapacity));
    ASSERT_TRUE(memory.ok());
    const RingMemory ring(memory->bytes().first(RingMemory::BytesFor(kCapacity)));
    const pid_t child = fork();
    if (child == 0) {
      RingWriter writer(ring);
      const std::vector<std::byte> payload = Payload(kBytes);
      for (uint64_t i = 0;;) {
        if (writer.Write({.about = i}, payload).ok())
          ++i;
        else
          std::this_thread::yield();
      }
    }
    RingReader reader(ring);
    Message message;
    uint64_t count = 0;
    const auto read_one = [&] {
      const auto read = reader.Read(&message);
      ASSERT_TRUE(read.ok()) << read.status().message();
      if (!*read) return std::this_thread::yield();
      ASSERT_EQ(message.header.about, count);
      ASSERT_EQ(message.payload, Payload(kBytes));
      ++count;
    };
    const uint64_t enough = random() % 100;
    while (count < enough) ASSERT_NO_FATAL_FAILURE(read_one());
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    for (int i = 0; i < 4; ++i) ASSERT_NO_FATAL_FAILURE(read_one());
  }
}

}  // namespace
}  // namespace fusee::ipc
