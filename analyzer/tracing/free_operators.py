"""The reviewed list of operators that cost no multiply-accumulates by convention.

Views, copies, factories, elementwise functions, reductions, normalisation, pooling, resampling with fixed weights,
indexing, sorting and losses. An operator that takes tensors and is neither here nor in `formulas` is *uncounted*.
"""

from __future__ import annotations

import torch
from torch._ops import OpOverload

from analyzer.tracing.formulas import FORMULAS

_COPIES = """
    alias cat stack _stack _chunk_cat copy copy_ contiguous _copy_from _lazy_clone lift lift_fresh _to_copy
    _reshape_copy _unsafe_view _mkldnn_reshape _mkldnn_transpose to_mkldnn _to_dense _to_sparse _to_sparse_csr
    _to_sparse_csc _to_sparse_bsr _to_sparse_bsc _coalesce _coalesced _nnz _dimI _dimV dense_dim sparse_dim
    is_coalesced sparse_mask sparse_resize sparse_resize_and_clear resize resize_as set set_ _resize_output
    _pin_memory is_pinned record_stream repeat flip roll rot90 block_diag diag_embed tril triu constant_pad_nd
    reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d
    pixel_shuffle pixel_unshuffle channel_shuffle im2col col2im unsafe_split unsafe_split_with_sizes
    _pack_padded_sequence to_padded_tensor squeeze unsqueeze t transpose detach as_strided slice_scatter
    select_scatter diagonal_scatter as_strided_scatter complex polar _sparse_coo_tensor_with_dims_and_tensors
    _has_same_storage_numel is_same_size is_set_to _nested_tensor_size _nested_from_padded _nested_tensor_from_mask
    _nested_tensor_from_mask_left_aligned _jagged_to_padded_dense_forward _padded_dense_to_jagged_forward
    slice_backward select_backward diagonal_backward unfold_backward masked_scatter_backward _unsafe_index
    _unsafe_masked_index _sparse_mask_projection dequantize int_repr
"""
"""Copies, layout, shape."""

_INDEXING = """
    index index_select index_add index_copy index_fill index_put index_reduce _index_put_impl _unsafe_index_put
    _unsafe_masked_index_put_accumulate gather scatter scatter_add scatter_reduce segment_reduce repeat_interleave
    take put masked_fill masked_scatter masked_select nonzero nonzero_static sort topk kthvalue median nanmedian
    mode bincount histc histogram bucketize searchsorted isin unique_consecutive unique_dim unique_dim_consecutive
    _unique _unique2 embedding embedding_renorm embedding_dense_backward _embedding_bag _embedding_bag_forward_only
    _embedding_bag_dense_backward _embedding_bag_backward _embedding_bag_per_sample_weights_backward
"""
"""Indexing, sorting, counting, gathering and scattering."""

_ELEMENTWISE = """
    add sub rsub mul div remainder relu where norm sum prod var_mean std_mean count_nonzero celu xlogy isinf isnan
    clone _conj_physical bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift __lshift__
    __rshift__ abs eq ne lt gt le ge fill zero _add_relu clamp floor_divide hardswish mish gelu glu glu_jvp
    threshold copysign heaviside gcd lcm cumsum cumprod cummax cummin _cummax_helper _cummin_helper logcumsumexp
    _logcumsumexp _prelu_kernel rrelu_with_noise log_sigmoid_forward log_sigmoid native_dropout _fused_dropout
    _masked_scale bernoulli binomial poisson normal normal_functional uniform random exponential geometric cauchy
    log_normal multinomial _standard_gamma _sample_dirichlet rand_like randn_like randint_like empty_like zeros_like
    ones_like full_like new_empty new_empty_strided new_full new_ones new_zeros linalg_cross dist renorm trace
    quantize_per_tensor quantize_per_tensor_dynamic quantize_per_channel _make_per_tensor_quantized_tensor
    _make_per_channel_quantized_tensor fake_quantize_per_tensor_affine_cachemask
    fake_quantize_per_channel_affine_cachemask _fake_quantize_per_tensor_affine_cachemask_tensor_qparams
    _fake_quantize_learnable_per_tensor_affine _fake_quantize_learnable_per_channel_affine
    _fused_moving_avg_obs_fq_helper q_scale q_zero_point q_per_channel_scales q_per_channel_zero_points
    q_per_channel_axis qscheme _transform_bias_rescale_qkv _thnn_fused_lstm_cell _thnn_fused_gru_cell
    _thnn_fused_lstm_cell_backward_impl elu softplus hardshrink softshrink hardsigmoid hardtanh leaky_relu sigmoid
    tanh silu logit rrelu angle _aminmax is_nonzero _local_scalar_dense item allclose equal _is_all_true
    _is_any_true _assert_async _functional_assert_async _assert_scalar _assert_tensor_metadata _linalg_check_errors
    _print _amp_update_scale _amp_foreach_non_finite_check_and_unscale frexp bitwise_not
"""
"""Elementwise functions that torch doesn't tag as such, running sums, random numbers, assertions."""

_AVERAGING = """
    native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_functional
    _native_batch_norm_legit_no_training _batch_norm_with_update _batch_norm_with_update_functional
    _batch_norm_no_update batch_norm_stats batch_norm_elemt batch_norm_gather_stats
    batch_norm_gather_stats_with_counts batch_norm_update_stats batch_norm_backward batch_norm_backward_elemt
    batch_norm_backward_reduce cudnn_batch_norm quantized_batch_norm softmax log_softmax adaptive_avg_pool1d
    avg_pool1d native_layer_norm native_group_norm native_norm _fused_rms_norm _weight_norm_interface _softmax
    _log_softmax _safe_softmax _masked_softmax _softmax_backward_data _log_softmax_backward_data
    _nested_tensor_softmax_with_shape avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
    adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d max_pool2d
    max_pool2d_with_indices max_pool3d_with_indices max_unpool2d max_unpool3d fractional_max_pool2d
    fractional_max_pool3d mkldnn_max_pool2d mkldnn_adaptive_avg_pool2d quantized_max_pool1d quantized_max_pool2d
    upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d
    _upsample_bilinear2d_aa _upsample_bicubic2d_aa
"""
"""Normalisation, softmax, pooling, resampling with fixed weights."""

_LOSSES = """
    mse_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits nll_loss_forward
    nll_loss2d_forward nll_loss nll_loss2d multi_margin_loss multilabel_margin_loss_forward multilabel_margin_loss
    soft_margin_loss _ctc_loss
"""
"""Losses."""

FREE = frozenset(" ".join((_COPIES, _INDEXING, _ELEMENTWISE, _AVERAGING, _LOSSES)).split())
"""Base names of free operators of torch's own namespace: in-place and `_backward` forms are free with them."""

_QUANTIZED = """
    add add_relu add_scalar mul mul_relu mul_scalar cat batch_norm batch_norm1d batch_norm2d batch_norm2d_relu
    batch_norm3d max_pool1d max_pool2d dropout layer_norm group_norm instance_norm hardswish leaky_relu sigmoid
    softmax relu6 clamp elu celu prelu threshold linear_prepack linear_unpack conv2d_prepack conv2d_unpack
    embedding_byte embedding_4bit
"""
_FREE_ELSEWHERE = frozenset(
    [f"quantized::{name}" for name in _QUANTIZED.split()] + ["torchvision::nms", "torchvision::roi_pool"]
)
_FREE_NAMESPACES = ("prim", "profiler", "rngprims", "debugprims")
_FREE_TAGS = (torch.Tag.pointwise, torch.Tag.reduction, torch.Tag.view_copy, torch.Tag.inplace_view)


def is_free(operator: OpOverload) -> bool:
    """Whether an operator costs nothing by convention: it is reviewed, a view, elementwise, or takes no tensor."""
    schema = operator._schema
    namespace, _, base = schema.name.partition("::")
    if namespace in _FREE_NAMESPACES or schema.name in _FREE_ELSEWHERE or not _takes_tensors(operator):
        return True
    if namespace not in ("aten", "prims"):
        return False
    return (
        any(tag in operator.tags for tag in _FREE_TAGS)
        or any(result.alias_info is not None and not result.alias_info.is_write for result in schema.returns)
        or (base.startswith("_foreach_") and f"aten::{base.removeprefix('_foreach_').rstrip('_')}" not in FORMULAS)
        or any(name in FREE for name in _stems(base))
    )


def _stems(base: str) -> tuple[str, ...]:
    """An operator's own name, that of the out-of-place form, and that of the forward it is the backward of."""
    plain = base.removesuffix("_")
    forward = plain.removesuffix("_backward")
    return base, plain, forward, f"{forward}_forward", f"{forward}_with_indices"


def _takes_tensors(operator: OpOverload) -> bool:
    return any("Tensor" in str(argument.type) for argument in operator._schema.arguments)
