// Runs runtimes/hopper/convolution.cu on a CPU, one block after another, and says where it breaks the rules.
//
//   g++ -x c++ -std=c++17 -O2 -shared -fPIC <the shape's -D options> -DKERNEL='"convolution.cu"' hopper_emulation.h
//
// A block's threads are fibers in an order drawn from a seed. The result is the arithmetic of the GPU's instructions,
// decoded from their descriptors; what the GPU would leave to chance is an error instead:
//
// * A copy to shared memory (cp.async) takes place when its own thread waits for it; until then its 16 bytes are
//   undefined, and a product that reads them is an error.
// * Matrix products (wgmma) read shared memory when their thread waits for them.
// * Each 16 bytes of shared memory know who wrote and who read them since which __syncthreads. Two threads that meet
//   there, one of them writing, must have one in between; the order of the fibers does not matter for this.
// * A thread that never arrives at a barrier or shuffle, products that differ within a warpgroup, and any address
//   outside of its buffer or not aligned end the run with a message.
//
// Errors for tests of these checks are planted with -DPLANT_...; all are in this file.

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <vector>

#define EMULATED
#define DEVICE inline
#define __global__
#define __launch_bounds__(...)

struct Position {
    unsigned x, y, z;
};
static Position threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

constexpr int THREADS_MOST = 1024, WARP = 32, WARPGROUP = 128, STACK = 64 * 1024;
constexpr unsigned BASE = 1024;  // of a block's dynamic shared memory, which does not begin at address 0
constexpr unsigned SHARED_MOST = 232448;
constexpr int NOBODY = -1, SEVERAL = -2;

// ---- float16, by the bits: rounding to nearest, ties to even

inline float float_of(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 0) {
        const float value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    const uint32_t bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

inline uint16_t half_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    const uint16_t sign = bits >> 16 & 0x8000;
    const uint32_t size = bits & 0x7fffffff;
    if (size > 0x7f800000) return 0x7fff;                 // not a number
    if (size >= 0x477ff000) return sign | 0x7c00;         // 65520 and more round to infinity
    if (size < 0x33000001) return sign;                   // up to 2^-25
    const int exponent = (int)(size >> 23) - 127;
    const int shift = exponent < -14 ? -1 - exponent : 13;  // bits that are dropped; subnormal below 2^-14
    const uint32_t fraction = exponent < -14 ? (size & 0x7fffff) | 0x800000 : size - (112u << 23);
    const uint32_t dropped = fraction & ((1u << shift) - 1), half = 1u << (shift - 1);
    uint32_t kept = fraction >> shift;
    if (dropped > half || (dropped == half && kept & 1)) kept++;  // may carry into the exponent, as it should
    return sign | (uint16_t)kept;
}

struct Floats {  // of every float16
    float of[65536];
    Floats() {
        for (int i = 0; i < 65536; i++) of[i] = float_of((uint16_t)i);
    }
};
inline const Floats floats;

// ---- what one thread, one warpgroup and 16 bytes of shared memory remember

enum State { READY, AT_BARRIER, AT_SHUFFLE, GONE };

struct Copy {
    unsigned unit;
    const void* from;  // null: zeros
};

struct Product {
    float* sums;
    int columns;
    unsigned long long a, b;
    bool add;
    bool same(const Product& other) const {
        return columns == other.columns && a == other.a && b == other.b && add == other.add;
    }
};

struct Thread {
    ucontext_t context;
    State state;
    std::vector<Copy> open;                 // not committed
    std::vector<std::vector<Copy>> groups;  // oldest first
    std::vector<Product> products;
    std::vector<std::vector<Product>> committed;
    size_t issued;
    bool fenced;
    unsigned given;
    std::vector<unsigned> put;  // units that ordinary stores wrote since the last fence
};

struct Unit {
    int writer = NOBODY, written = -1, reader = NOBODY, read = -1;  // who, and after how many barriers
    bool pending = false;
    int unseen = 0;  // ordinary stores that their threads have not fenced
};

struct Range {
    const char *begin, *end;
    bool holds(const void* at, size_t bytes) const {
        return (const char*)at >= begin && (const char*)at + bytes <= end;
    }
};

struct Block {
    int threads = 0, current = 0, epoch = 0;
    std::vector<Thread> all = std::vector<Thread>(THREADS_MOST);
    std::vector<char> stacks = std::vector<char>((size_t)THREADS_MOST * STACK);
    std::vector<int> ready;
    std::vector<Product> issued[THREADS_MOST / WARPGROUP];  // by a warpgroup: the first thread says, the others follow
    unsigned taken[THREADS_MOST];
    std::vector<uint16_t> memory;
    std::vector<Unit> units;
    Range images{}, weights{};
    ucontext_t scheduler;
    uint64_t random = 1;
    char message[400] = "";
    void (*kernel)() = nullptr;
};
inline Block block;

inline unsigned drawn(unsigned below) {  // xorshift64*
    block.random ^= block.random >> 12, block.random ^= block.random << 25, block.random ^= block.random >> 27;
    return (unsigned)((block.random * 0x2545f4914f6cdd1dull >> 33) % below);
}

inline void leave() { swapcontext(&block.all[block.current].context, &block.scheduler); }

[[noreturn]] inline void fail(const char* format, ...) {
    char* to = block.message;
    to += snprintf(to, 100, "block (%u, %u), thread %d, after %d barriers: ", blockIdx.x, blockIdx.y, block.current,
                   block.epoch);
    va_list values;
    va_start(values, format);
    vsnprintf(to, 300, format, values);
    va_end(values);
    leave();  // the scheduler does not come back
    abort();
}

inline Thread& self() { return block.all[block.current]; }

inline void perhaps_another() {  // any instruction may be a thread's last for a while
    if (drawn(4) == 0) {
        block.ready.push_back(block.current);
        leave();
    }
}

inline void wake(int begin, int end, State from) {
    for (int t = begin; t < end; t++)
        if (block.all[t].state == from) block.all[t].state = READY, block.ready.push_back(t);
}

inline bool arrived(int begin, int end, State at) {
    for (int t = begin; t < end; t++)
        if (block.all[t].state != at) return false;
    return true;
}

inline unsigned unit_at(unsigned address, const char* what) {
    if (address % 16) fail("%s at shared address %u, which 16 does not divide", what, address);
    if (address < BASE || (address - BASE) / 16 >= block.units.size())
        fail("%s at byte %d of %d of shared memory", what, (int)(address - BASE), (int)block.units.size() * 16);
    return (address - BASE) / 16;
}

inline const uint16_t* read16(unsigned address) {
    const unsigned number = unit_at(address, "a product reads");
    Unit& unit = block.units[number];
    const int byte = (int)number * 16;
    if (unit.pending) fail("a product reads byte %d, where thread %d's copy is not done", byte, unit.writer);
    if (unit.writer == NOBODY) fail("a product reads byte %d, which was never written", byte);
    if (unit.unseen) fail("a product reads byte %d, whose writer has not fenced it", byte);
    if (unit.writer != block.current && unit.written == block.epoch)
        fail("a product reads byte %d with no barrier after thread %d's copy", byte, unit.writer);
    unit.reader = unit.read != block.epoch || unit.reader == block.current ? block.current : SEVERAL;
    unit.read = block.epoch;
    return &block.memory[(size_t)number * 8];
}

inline void copy_now(const Copy& copy) {
    uint16_t* to = &block.memory[(size_t)copy.unit * 8];
    if (copy.from) memcpy(to, copy.from, 16);
    else memset(to, 0, 16);
    block.units[copy.unit].pending = false;
    block.units[copy.unit].written = block.epoch;
}

inline void entry() {
    block.kernel();
    Thread& own = self();
    if (!own.products.empty() || !own.committed.empty())
        fail("ends with products that nobody waited for");
    own.state = GONE;
    leave();
}

// m64nNk16, A and B in shared memory, K-major without swizzling (PTX ISA, "Matrix Descriptor Format"). Core matrices
// are 8 rows of 16 bytes, one after the other; the leading offset leads to the other 8 of K, the stride to 8 more rows.
struct Matrix {
    unsigned start, leading, stride;
    explicit Matrix(unsigned long long bits) {
        start = (unsigned)(bits & 0x3fff) << 4;
        leading = (unsigned)(bits >> 16 & 0x3fff) << 4;
        stride = (unsigned)(bits >> 32 & 0x3fff) << 4;
        if (bits & ~0x3fff3fff3fffull) fail("a descriptor %016llx with other bits (offset or swizzling)", bits);
#ifdef PLANT_OFFSETS_SWAPPED
        const unsigned other = leading;
        leading = stride, stride = other;
#endif
    }
    void row(int number, float (&to)[16]) const {
        for (int half = 0; half < 2; half++) {
            const uint16_t* from = read16(start + number / 8 * stride + number % 8 * 16 + half * leading);
            for (int k = 0; k < 8; k++) to[half * 8 + k] = floats.of[from[k]];
        }
    }
};

inline void multiply(const Product& product) {
    const int t = block.current % WARPGROUP, lane = t % WARP;
    const Matrix a(product.a), b(product.b);
    float rows[2][16], column[16];
    for (int i = 0; i < 2; i++) a.row(16 * (t / WARP) + lane / 4 + 8 * i, rows[i]);
    for (int j = 0; j < product.columns / 8; j++)
        for (int c = 0; c < 2; c++) {
            b.row(8 * j + 2 * (lane % 4) + c, column);
            for (int i = 0; i < 2; i++) {
                float sum = 0.0f;
                for (int k = 0; k < 16; k++) sum += rows[i][k] * column[k];
                float& to = product.sums[4 * j + 2 * i + c];
                to = product.add ? to + sum : sum;
            }
        }
}

inline void issue(const Product& product) {
    Thread& own = self();
    if (!own.fenced) fail("a product without products_begin");
    std::vector<Product>& said = block.issued[block.current / WARPGROUP];
    if (own.issued == said.size()) said.push_back(product);
    if (!said[own.issued++].same(product)) fail("product %d is not its warpgroup's", (int)own.issued - 1);
    own.products.push_back(product);
}

// Runs a block; false where block.message says what went wrong.
inline bool run(int threads, unsigned shared_bytes, void (*kernel)()) {
    block.threads = threads, block.epoch = 0, block.kernel = kernel;
    block.memory.assign(shared_bytes / 2, 0x7fff);  // not a number
    block.units.assign(shared_bytes / 16, Unit());
    block.ready.clear();
    for (auto& said : block.issued) said.clear();
    for (int t = 0; t < threads; t++) {
        Thread& thread = block.all[t];
        thread.state = READY, thread.issued = 0, thread.fenced = false;
        thread.put.clear(), thread.open.clear(), thread.groups.clear(), thread.products.clear(), thread.committed.clear();
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = &block.stacks[(size_t)t * STACK];
        thread.context.uc_stack.ss_size = STACK;
        thread.context.uc_link = nullptr;
        makecontext(&thread.context, entry, 0);
        block.ready.push_back(t);
    }
    while (!block.ready.empty()) {
        const unsigned at = drawn((unsigned)block.ready.size());
        block.current = block.ready[at];
        block.ready[at] = block.ready.back(), block.ready.pop_back();
        threadIdx = {(unsigned)block.current, 0, 0};
        swapcontext(&block.scheduler, &block.all[block.current].context);
        if (block.message[0]) return false;
    }
    int waiting[4] = {0, 0, 0, 0};
    for (int t = 0; t < threads; t++) waiting[block.all[t].state]++;
    if (waiting[GONE] != threads) {
        snprintf(block.message, sizeof block.message,
                 "block (%u, %u): deadlock: %d threads wait in __syncthreads, %d in a shuffle, %d have ended",
                 blockIdx.x, blockIdx.y, waiting[AT_BARRIER], waiting[AT_SHUFFLE], waiting[GONE]);
        return false;
    }
    for (int t = 0; t < threads; t++)
        if (block.all[t].issued != block.issued[t / WARPGROUP].size()) {
            snprintf(block.message, sizeof block.message,
                     "block (%u, %u): thread %d left out products of its warpgroup", blockIdx.x, blockIdx.y, t);
            return false;
        }
    return true;
}

// A copy of a buffer between two zones that nothing may touch.
template <class T> struct Guarded {
    static constexpr size_t ZONE = 4096;
    static constexpr unsigned char FILL = 0xff;  // float and float16: not a number
    std::vector<char> room;
    T* begin;
    size_t bytes;
    Guarded(const T* from, size_t count)
        : room(count * sizeof(T) + 2 * ZONE + 128, (char)FILL), bytes(count * sizeof(T)) {
        begin = (T*)(((uintptr_t)room.data() + ZONE + 127) / 128 * 128);
        if (from) memcpy((void*)begin, from, bytes);
    }
    bool intact() const {
        for (const char* p = room.data(); p < room.data() + room.size(); p++) {
            if (p == (const char*)begin) p += bytes;
            if (p < room.data() + room.size() && (unsigned char)*p != FILL) return false;
        }
        return true;
    }
    Range range() const { return {(const char*)begin, (const char*)begin + bytes}; }
};

inline bool launch(unsigned grid_x, unsigned grid_y, int threads, unsigned shared_bytes, uint64_t seed,
                   void (*kernel)()) {
    block.message[0] = 0;
    block.random = seed * 2 + 1;
    for (int i = 0; i < 8; i++) drawn(2);
    gridDim = {grid_x, grid_y, 1}, blockDim = {(unsigned)threads, 1, 1};
    if (shared_bytes > SHARED_MOST || shared_bytes % 16) {
        snprintf(block.message, sizeof block.message, "%u bytes of shared memory", shared_bytes);
        return false;
    }
    for (unsigned y = 0; y < grid_y; y++)
        for (unsigned x = 0; x < grid_x; x++) {
            blockIdx = {x, y, 0};
            if (!run(threads, shared_bytes, kernel)) return false;
        }
    return true;
}

}  // namespace emulation

// ---- the kernel's words

#define __shared__ static  // one block at a time
static char shared[1];  // only its address is asked for

inline unsigned shared_address(const void* pointer) {
    return emulation::BASE + (unsigned)((const char*)pointer - shared);
}

inline void copy16(unsigned to, const void* from, bool inside) {
    using namespace emulation;
#ifdef PLANT_NO_ZEROS
    inside = true;
#endif
#ifdef PLANT_COPIES_SHIFTED
    from = (const char*)from + 16;
#endif
    const unsigned number = unit_at(to, "a copy");
    if ((uintptr_t)from % 16) fail("a copy from an address that 16 does not divide");
    if (inside && !block.images.holds(from, 16) && !block.weights.holds(from, 16))
        fail("a copy from outside of images and weights (%lld bytes from the images)",
             (long long)((const char*)from - block.images.begin));
    Unit& unit = block.units[number];
    if (unit.pending) fail("a copy to byte %d, where thread %d's is not done", (int)number * 16, unit.writer);
    if (unit.writer != NOBODY && unit.writer != block.current && unit.written == block.epoch)
        fail("a copy to byte %d with no barrier after thread %d's", (int)number * 16, unit.writer);
    if (unit.read == block.epoch && unit.reader != block.current)
        fail("a copy to byte %d with no barrier after thread %d's product", (int)number * 16, unit.reader);
    unit.pending = true, unit.writer = block.current;
    memset(&block.memory[(size_t)number * 8], 0xff, 16);
    self().open.push_back({number, inside ? from : nullptr});
}

inline void warp_together() {}
inline int anew(int value) { return value; }

// Ordinary stores: products see them after the writer's fence and then a barrier.
inline void put(unsigned to, const unsigned* value, int words) {
    using namespace emulation;
    const unsigned number = unit_at(to / 16 * 16, "a store");
    Unit& unit = block.units[number];
    if (unit.pending) fail("a store to byte %d, where a copy is not done", (int)number * 16);
    if (unit.read == block.epoch && unit.reader != block.current)
        fail("a store to byte %d with no barrier after thread %d's product", (int)number * 16, unit.reader);
    if (words == 4 && unit.writer != NOBODY && unit.writer != block.current && unit.written == block.epoch)
        fail("a store to byte %d with no barrier after thread %d's", (int)number * 16, unit.writer);
    memcpy((char*)&block.memory[(size_t)number * 8] + to % 16, value, words * 4);
    unit.writer = unit.written != block.epoch || unit.writer == block.current ? block.current : SEVERAL;
    unit.written = block.epoch, unit.unseen++;
    self().put.push_back(number);
}
inline void put16(unsigned to, const unsigned (&value)[4]) {
    if (to % 16) emulation::fail("a store of 16 bytes at %u", to);
    put(to, value, 4);
}
inline void put4(unsigned to, unsigned value) {
    if (to % 4) emulation::fail("a store of 4 bytes at %u", to);
    put(to, &value, 1);
}
inline void puts_seen() {
    using namespace emulation;
    perhaps_another();
#ifdef PLANT_NO_FENCE
    return;
#endif
    for (const unsigned number : self().put) {
        Unit& unit = block.units[number];
        if (unit.written != block.epoch) unit.writer = SEVERAL;
        unit.unseen--, unit.written = block.epoch;
    }
    self().put.clear();
}

inline void copies_committed() {
    emulation::Thread& own = emulation::self();
    own.groups.push_back(std::move(own.open));
    own.open.clear();
}

template <int LEFT> inline void copies_done() {
    using namespace emulation;
    perhaps_another();
#ifdef PLANT_COPIES_LATE
    constexpr size_t left = LEFT + 1;
#else
    constexpr size_t left = LEFT;
#endif
    std::vector<std::vector<Copy>>& groups = self().groups;
    while (groups.size() > left) {
        for (const Copy& copy : groups.front()) copy_now(copy);
        groups.erase(groups.begin());
    }
}

// Where a compiler must not move registers; nothing moves here.
template <int COUNT> void settled(float (&)[COUNT]) {}
inline void products_begin() {
    emulation::perhaps_another();
    emulation::self().fenced = true;
}

inline void products_committed() {
    using namespace emulation;
    perhaps_another();
    self().committed.push_back(std::move(self().products));
    self().products.clear();
}

template <int LEFT> inline void products_done() {
    using namespace emulation;
    perhaps_another();
    std::vector<std::vector<Product>>& groups = self().committed;
#ifdef PLANT_PRODUCTS_LATE
    constexpr size_t left = LEFT + 1;
#else
    constexpr size_t left = LEFT;
#endif
    while (groups.size() > left) {
        for (const Product& product : groups.front()) multiply(product);
        groups.erase(groups.begin());
    }
    self().fenced = false;
}

template <int COUNT> inline void product(float (&sums)[COUNT], unsigned long long a, unsigned long long b, int add) {
#ifdef PLANT_SUMS_KEPT
    if (emulation::self().issued > 1) add = 1;  // after the thread's first two products
#endif
    emulation::issue({sums, 2 * COUNT, a, b, add != 0});
}

inline void __syncthreads() {
    using namespace emulation;
#ifdef PLANT_NO_BARRIER
    return;
#endif
#ifdef PLANT_THREAD_ENDS
    if (block.current == 77 && block.epoch == 1) self().state = GONE, leave();
#endif
    self().state = AT_BARRIER;
    if (arrived(0, block.threads, AT_BARRIER)) {
        block.epoch++;
        wake(0, block.threads, AT_BARRIER);
    }
    leave();
}

inline unsigned from_other_column(unsigned value) {  // __shfl_xor_sync(all, value, 4)
    using namespace emulation;
#ifdef PLANT_NO_SHUFFLE
    return value;
#endif
    const int own = block.current, first = own / WARP * WARP;
    self().given = value, self().state = AT_SHUFFLE;
    if (arrived(first, first + WARP, AT_SHUFFLE)) {
        for (int t = first; t < first + WARP; t++) block.taken[t] = block.all[first + ((t - first) ^ 4)].given;
        wake(first, first + WARP, AT_SHUFFLE);
    }
    leave();
    return block.taken[own];
}

inline unsigned two_halves(float low, float high) {
    return emulation::half_of(low) | (unsigned)emulation::half_of(high) << 16;
}
inline float half_to_float(unsigned short bits) { return emulation::float_of(bits); }
inline float larger(float a, float b) { return a > b || a != a ? a : b; }
inline unsigned larger_halves(unsigned a, unsigned b) {
    using emulation::float_of;
    const float low = larger(float_of((unsigned short)a), float_of((unsigned short)b));
    return two_halves(low, larger(float_of((unsigned short)(a >> 16)), float_of((unsigned short)(b >> 16))));
}

#include KERNEL
#ifdef STEM_BLOCKS
#include STEM
#endif

// ---- entry points: null, or what went wrong (until the next call)

namespace emulation {
struct {
    const unsigned short *images, *weights;
    const float* bias;
    unsigned short* out;
    int count;
} convolved;
struct {
    const Stored* tiles;
    const float *mean, *scale;
    unsigned* out;
    int channels, count;
} packed;
}  // namespace emulation

extern "C" const char* emulate_convolution(const unsigned short* images, const unsigned short* weights,
                                           const float* bias, unsigned short* out, int count, int grid_x, int grid_y,
                                           int shared_bytes, int seed) {
    using namespace emulation;
    constexpr size_t outputs = (size_t)COUT * HEIGHT * WIDTH / (POOL ? 4 : 1);
    const Guarded<unsigned short> from(images, (size_t)count * CIN * HEIGHT * WIDTH);
    const Guarded<unsigned short> held(weights, (size_t)COUT * CIN * 9);
    const Guarded<float> added(bias, COUT);
    const Guarded<unsigned short> to(out, count * outputs);
    block.images = from.range(), block.weights = held.range();
    convolved = {from.begin, held.begin, added.begin, to.begin, count};
    const bool done = launch((unsigned)grid_x, (unsigned)grid_y, THREADS, (unsigned)shared_bytes, (uint64_t)seed, [] {
        convolution(convolved.images, convolved.weights, convolved.bias, convolved.out, convolved.count);
    });
    if (!done) return block.message;
    memcpy(out, to.begin, to.bytes);
    return to.intact() ? nullptr : "writes outside of the output";
}

extern "C" const char* emulate_pack(const void* tiles, const float* mean, const float* scale, unsigned short* out,
                                    int channels, int count, int grid_x, int seed) {
    using namespace emulation;
    const Guarded<Stored> from((const Stored*)tiles, (size_t)count * channels * HEIGHT * WIDTH);
    const Guarded<float> means(mean, channels), scales(scale, channels);
    const Guarded<unsigned short> to(out, (size_t)count * CIN * HEIGHT * WIDTH);
    packed = {from.begin, means.begin, scales.begin, (unsigned*)to.begin, channels, count};
    const bool done = launch((unsigned)grid_x, 1, 256, 0, (uint64_t)seed, [] {
        pack(packed.tiles, packed.mean, packed.scale, (Eight*)packed.out, packed.channels, packed.count);
    });
    if (!done) return block.message;
    memcpy(out, to.begin, to.bytes);
    return to.intact() ? nullptr : "writes outside of the output";
}

#ifdef STEM_BLOCKS
namespace emulation {
struct {
    const Stored* tiles;
    const float *mean, *scale, *first_bias, *bias;
    const unsigned short *first_weights, *weights;
    unsigned short* out;
    int channels, count;
} stemmed;
}  // namespace emulation

extern "C" const char* emulate_stem(const void* tiles, const float* mean, const float* scale,
                                    const unsigned short* first_weights, const float* first_bias,
                                    const unsigned short* weights, const float* bias, unsigned short* out, int channels,
                                    int count, int grid_x, int shared_bytes, int seed) {
    using namespace emulation;
    const Guarded<Stored> from((const Stored*)tiles, (size_t)count * channels * HEIGHT * WIDTH);
    const Guarded<unsigned short> first(first_weights, (size_t)FIRST * CIN * 9), held(weights, (size_t)COUT * CIN * 9);
    const Guarded<float> means(mean, channels), scales(scale, channels), first_added(first_bias, CIN), added(bias, COUT);
    const Guarded<unsigned short> to(out, (size_t)count * COUT * HEIGHT * WIDTH / (POOL ? 4 : 1));
    block.images = first.range(), block.weights = held.range();
    stemmed = {from.begin, means.begin, scales.begin, first_added.begin, added.begin, first.begin, held.begin, to.begin,
               channels, count};
    const bool done = launch((unsigned)grid_x, 1, THREADS, (unsigned)shared_bytes, (uint64_t)seed, [] {
        const auto& s = stemmed;
        stem(s.tiles, s.mean, s.scale, s.first_weights, s.first_bias, s.weights, s.bias, s.out, s.channels, s.count);
    });
    if (!done) return block.message;
    memcpy(out, to.begin, to.bytes);
    return to.intact() ? nullptr : "writes outside of the output";
}
#endif

// Float16 conversions alone, for their own test.
extern "C" void emulate_halves(const float* from, unsigned short* to, float* back, long long count) {
    for (long long i = 0; i < count; i++) to[i] = emulation::half_of(from[i]), back[i] = emulation::float_of(to[i]);
}
