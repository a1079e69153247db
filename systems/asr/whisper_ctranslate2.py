"""openai-whisper's weights as a folder that CTranslate2 and faster-whisper read."""

import json
from pathlib import Path
from typing import Any

MODEL, TOKENIZER, FRONT_END = "model.bin", "tokenizer.json", "preprocessor_config.json"
# How GPT-2 cuts text before it is encoded.
PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def write(folder: Path, network: Any, tokenizer: Any) -> None:
    """Weights in float32, vocabulary, tokenizer and front end, into an existing folder."""
    import whisper
    from transformers.convert_slow_tokenizer import TikTokenConverter

    # openai-whisper's vocabulary, in its wheel, as a tokenizer of the `tokenizers` package. The
    # special tokens are numbered from the end of the vocabulary on, so that their order counts.
    assets = Path(whisper.__file__).parent / "assets"
    special = sorted(tokenizer.special_tokens, key=tokenizer.special_tokens.get)
    file = str(assets / tokenizer.encoding.name)
    words = TikTokenConverter(file, PATTERN, extra_special_tokens=special).converted()

    spec = specification(network)
    spec.register_vocabulary([words.id_to_token(i) for i in range(network.dims.n_vocab)])
    # CTranslate2 looks in config.json for what it never writes, and what it does not begin with.
    spec.config.suppress_ids = sorted(tokenizer.non_speech_tokens)
    spec.config.suppress_ids_begin = [*tokenizer.encode(" "), tokenizer.eot]
    spec.config.lang_ids = sorted(tokenizer.all_language_tokens)
    spec.validate()
    spec.save(str(folder))
    words.save(str(folder / TOKENIZER))
    # Without this file faster-whisper takes 80 mel bands, whatever the model hears.
    (folder / FRONT_END).write_text(json.dumps({"feature_size": network.dims.n_mels}))


def specification(network: Any) -> Any:
    """CTranslate2's description of the network, with its tensors."""
    from ctranslate2.specs import WhisperSpec

    dims = network.dims
    spec = WhisperSpec(dims.n_audio_layer, dims.n_audio_head, dims.n_text_layer, dims.n_text_head)
    encoder, decoder = network.encoder, network.decoder
    for name in ("conv1", "conv2"):
        _affine(getattr(spec.encoder, name), getattr(encoder, name))
    spec.encoder.position_encodings.encodings = _array(encoder.positional_embedding)
    _norm(spec.encoder.layer_norm, encoder.ln_post)
    spec.decoder.embeddings.weight = _array(decoder.token_embedding.weight)
    spec.decoder.projection.weight = spec.decoder.embeddings.weight
    spec.decoder.position_encodings.encodings = _array(decoder.positional_embedding)
    _norm(spec.decoder.layer_norm, decoder.ln)
    for half, blocks in ((spec.encoder, encoder.blocks), (spec.decoder, decoder.blocks)):
        for layer, block in zip(half.layer, blocks, strict=True):
            _block(layer, block)
    return spec


def _block(layer: Any, block: Any) -> None:
    attn = block.attn
    _join_layers(layer.self_attention.linear[0], [attn.query, attn.key, attn.value])
    _affine(layer.self_attention.linear[1], attn.out)
    _norm(layer.self_attention.layer_norm, block.attn_ln)
    if block.cross_attn is not None:
        # The query comes from the text, key and value from the audio: only these two are joined.
        cross = block.cross_attn
        _affine(layer.attention.linear[0], cross.query)
        _join_layers(layer.attention.linear[1], [cross.key, cross.value])
        _affine(layer.attention.linear[2], cross.out)
        _norm(layer.attention.layer_norm, block.cross_attn_ln)
    _affine(layer.ffn.linear_0, block.mlp[0])
    _affine(layer.ffn.linear_1, block.mlp[2])
    _norm(layer.ffn.layer_norm, block.mlp_ln)


def _affine(spec: Any, module: Any) -> None:
    spec.weight, spec.bias = _array(module.weight), _array(module.bias)


def _join_layers(spec: Any, modules: list[Any]) -> None:
    """Several Linear layers of one input as one; a bias that is not there is zero."""
    import torch

    biases = [torch.zeros(len(m.weight)) if m.bias is None else m.bias.cpu() for m in modules]
    spec.weight = _array(torch.cat([m.weight for m in modules]))
    spec.bias = _array(torch.cat(biases))


def _norm(spec: Any, module: Any) -> None:
    spec.gamma, spec.beta = _array(module.weight), _array(module.bias)


def _array(tensor: Any) -> Any:
    return tensor.detach().float().cpu().numpy()
