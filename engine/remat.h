/* remat.h - libremat: checkpointed attention and functions for C programs, executed in exactly the planned bytes.
 *
 * Gradient checkpointing keeps a function's inputs instead of its intermediates and runs the function again when the
 * backward needs them. Everything here writes a plan, which is checked, laid out and executed in one slab: outputs and
 * gradients are bit for bit those of the run that keeps everything with the same kernel, for any number of threads.
 *
 * Data is float32, contiguous, owned by the caller. Functions return false and fill in *why (which may be NULL);
 * nothing aborts. A handle belongs to one thread at a time; different handles may be used at once. Link with
 * `pkg-config --libs remat`. */
#ifndef REMAT_H
#define REMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define REMAT_RANK_MAX 8

/* What went wrong: kind is a word ("shape", "state", "budget", "out-of-memory", ...), where names the argument. */
struct remat_problem {
    char kind[24];
    char where[192];
    char detail[384];
};

/* size[0..rank): C order. data is written only where a function says so. */
struct remat_tensor {
    float *data;
    unsigned rank;
    uint64_t size[REMAT_RANK_MAX];
};

struct remat_shape {
    unsigned rank;
    uint64_t size[REMAT_RANK_MAX];
};

/* NULL options anywhere are all zeros. */
struct remat_options {
    unsigned threads;         /* 0: 1 */
    bool keep;                /* keep everything: the plain run that checkpointing is compared with */
    bool check_recompute;     /* a function whose recomputation differs from its first run is a problem */
    bool witness;             /* fill the slab with a pattern and scan it: touched_bytes below */
    uint64_t (*now_ns)(void); /* a monotonic clock; NULL: times are 0 */
};

/* After a backward. peak = slab (the handles here have no persistent bytes); saved is what was held for the backward
 * when the forward ended; retained the most saved plus recomputed bytes at any time. */
struct remat_report {
    uint64_t predicted_peak_bytes, measured_peak_bytes, touched_bytes;
    uint64_t saved_bytes, retained_peak_bytes;
    uint64_t forward_ns, recompute_ns, backward_ns;
    uint64_t forward_flops, recompute_flops, backward_flops;
};

struct remat_run; /* what a handle holds */

/* ---- CheckpointedFunction: any forward and backward ---- */

/* forward writes every output and every saved tensor; it may run again. backward ADDS into grad_inputs (they start at
 * 0); an entry is never NULL. inputs in backward is there only with keeps_inputs. work: workspace_bytes of scratch.
 * Both return false to stop the run. random_state (may be NULL) is what the function draws from: it is put back for a
 * recomputation, so the same numbers are drawn, and then continues where it was. */
struct remat_function {
    const char *name;
    void *context;
    bool (*forward)(void *context, const float *const *inputs, float *const *outputs, float *const *saved, void *work);
    bool (*backward)(void *context, const float *const *inputs, const float *const *saved,
                     const float *const *grad_outputs, float *const *grad_inputs, void *work);
    unsigned n_inputs, n_outputs, n_saved;
    const struct remat_shape *inputs, *outputs, *saved;
    bool keeps_inputs;
    uint64_t workspace_bytes, forward_flops, backward_flops;
    void *random_state;
    size_t random_state_bytes;
};

struct remat_checkpointed_function {
    struct remat_run *run;
};

/* The function is copied; its shapes and context must stay. */
bool remat_checkpointed_function_init(struct remat_checkpointed_function *f, const struct remat_function *function,
                                      const struct remat_options *options, struct remat_problem *why);
/* Keeps a copy of the inputs alone; writes outputs. A second forward starts afresh. */
bool remat_checkpointed_function_forward(struct remat_checkpointed_function *f, const struct remat_tensor *inputs,
                                         struct remat_tensor *outputs, struct remat_problem *why);
/* Recomputes the forward, then takes the gradients; once per forward. */
bool remat_checkpointed_function_backward(struct remat_checkpointed_function *f,
                                          const struct remat_tensor *grad_outputs, struct remat_tensor *grad_inputs,
                                          struct remat_problem *why);
bool remat_checkpointed_function_report(const struct remat_checkpointed_function *f, struct remat_report *report);
void remat_checkpointed_function_free(struct remat_checkpointed_function *f);

/* ---- CheckpointedAttention ---- */

enum remat_kernel { REMAT_STANDARD, REMAT_FLASH };

struct remat_attention {
    enum remat_kernel kernel;
    float scale;     /* 0: 1 / sqrt(D) */
    bool causal;     /* query i of Nq stands at p = i + Nk - Nq and sees j <= p */
    uint64_t window; /* 0: none; w: j in (p - w, p] if causal, |p - j| < w if not */
    double dropout;  /* on the weights; replayed exactly */
    uint64_t seed;
};

struct remat_checkpointed_attention {
    struct remat_run *run;
};

bool remat_checkpointed_attention_init(struct remat_checkpointed_attention *a, const struct remat_attention *attention,
                                       const struct remat_options *options, struct remat_problem *why);
/* q [.., H, Nq, D], k and v [.., Hkv, Nk, D] of rank 2 to 4; H a multiple of Hkv. mask NULL: none; else numbers added
 * to the scores (-INFINITY forbids), rank 2 to 4, aligned right, broadcast. output [.., H, Nq, D] is written. Keeps q,
 * k, v (and the mask) alone. */
bool remat_checkpointed_attention_forward(struct remat_checkpointed_attention *a, const struct remat_tensor *q,
                                          const struct remat_tensor *k, const struct remat_tensor *v,
                                          const struct remat_tensor *mask, struct remat_tensor *output,
                                          struct remat_problem *why);
bool remat_checkpointed_attention_backward(struct remat_checkpointed_attention *a,
                                           const struct remat_tensor *grad_output, struct remat_tensor *grad_q,
                                           struct remat_tensor *grad_k, struct remat_tensor *grad_v,
                                           struct remat_problem *why);
bool remat_checkpointed_attention_report(const struct remat_checkpointed_attention *a, struct remat_report *report);
void remat_checkpointed_attention_free(struct remat_checkpointed_attention *a);

/* ---- checkpoint_sequential ---- */

struct remat_checkpointed_sequence {
    struct remat_run *run;
};

/* Runs functions[0], functions[1], ... on the inputs; the outputs of one are the inputs of the next. Only what enters a
 * segment is kept. segments 0: one per function; else floor(n / segments) functions each, the last takes the rest. The
 * handle is initialised by the call (free it also after a failure: that is a no-op). */
bool remat_checkpoint_sequential(struct remat_checkpointed_sequence *s, const struct remat_function *functions,
                                 unsigned n_functions, unsigned segments, const struct remat_options *options,
                                 const struct remat_tensor *inputs, unsigned n_inputs, struct remat_tensor *outputs,
                                 unsigned n_outputs, struct remat_problem *why);
bool remat_checkpoint_sequential_backward(struct remat_checkpointed_sequence *s,
                                          const struct remat_tensor *grad_outputs, struct remat_tensor *grad_inputs,
                                          struct remat_problem *why);
bool remat_checkpoint_sequential_report(const struct remat_checkpointed_sequence *s, struct remat_report *report);
void remat_checkpoint_sequential_free(struct remat_checkpointed_sequence *s);

/* ---- measure_memory_savings ---- */

struct remat_savings_options {
    uint64_t heads, batch;         /* 0: 1 */
    unsigned element_bytes;        /* 0: 4; 2 for 16-bit (predicted only) */
    bool plan;                     /* plan both: fill in the predicted peaks of measured */
    bool execute;                  /* run both: fill in all of measured */
    struct remat_options run;      /* threads, clock; keep is ignored */
    bool (*cancelled)(void *user); /* asked between ops while executing; may be NULL */
    void (*progress)(void *user, uint32_t done, uint32_t total);
    void *user;
};

/* num_layers independent attention layers, each with Q, K, V [batch, heads, seq_len, d_model / heads]: all forwards,
 * then all backwards in reverse. Memory is retained bytes: Q, K, V of every layer, with the N x N weights of every
 * layer (standard) or of one (checkpointed). 1 MB = 2^20 bytes; overhead in FLOPs. */
struct remat_memory_savings {
    uint64_t standard_memory_bytes, checkpointed_memory_bytes;
    double standard_memory_mb, checkpointed_memory_mb;
    double memory_saved_pct, compute_overhead_pct;
    struct {
        uint64_t standard_memory_bytes, checkpointed_memory_bytes; /* retained, as observed */
        uint64_t standard_peak_bytes, checkpointed_peak_bytes;     /* of the slab */
        uint64_t standard_predicted_peak_bytes, checkpointed_predicted_peak_bytes;
        double compute_overhead_pct; /* FLOPs counted while running */
        double time_overhead_pct;    /* 0 without a clock */
        uint64_t standard_ns, checkpointed_ns;
        bool identical; /* every output and gradient, bit for bit */
    } measured;
};

bool remat_measure_memory_savings(uint64_t seq_len, uint64_t d_model, uint64_t num_layers,
                                  const struct remat_savings_options *options, struct remat_memory_savings *savings,
                                  struct remat_problem *why);

#ifdef __cplusplus
}
#endif
#endif
