"""EzAudio's published checkpoints as STAR's parts: the VAE as it is, the DiT's input folded."""

from torch import Tensor

LATENT_CHANNELS = 128
UNIT_PARTS = ("snake1", "conv1", "snake2", "conv2")
ENCODER_PARTS = ("res_unit1", "res_unit2", "res_unit3", "snake1", "conv1")
DECODER_PARTS = ("snake1", "conv_t1", "res_unit1", "res_unit2", "res_unit3")


def fold_input(weight: Tensor, bias: Tensor, mask_embed: Tensor) -> tuple[Tensor, Tensor]:
    """EzAudio's patch embedding [D, 257, 1] without its constant inputs: [D, 128, 1] and [D].

    Its channels are the noisy latent (128), the masked latent (128) and the mask (1); in plain
    text-to-audio the last two are `mask_embed` [128] and 1, so they fold exactly into the bias.
    """
    constant = weight[:, LATENT_CHANNELS : 2 * LATENT_CHANNELS, 0] @ mask_embed
    return weight[:, :LATENT_CHANNELS], bias + constant + weight[:, 2 * LATENT_CHANNELS, 0]


def udit_from_ezaudio(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of EzAudio-L (`model.<key>` and `mask_embed`) as that of STAR's UDiT.

    The network then still predicts EzAudio's diffusion v, not the flow's velocity: a start for
    training, not a finished model.
    """
    # The mask's embedding is folded in below: STAR's UDiT has no place for it.
    tensors = {
        key.removeprefix("model."): value for key, value in state.items() if "mask_em" not in key
    }
    weight, bias = fold_input(
        tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"], state["mask_embed"]
    )
    return tensors | {"patch_embed.proj.weight": weight, "patch_embed.proj.bias": bias}


def vae_from_ezaudio(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """EzAudio's VAE state (`autoencoder.<key>`, other keys ignored) as that of `WaveformVae`,
    without its latent scale."""
    prefix = "autoencoder."
    renamed = {}
    for key, value in state.items():
        if key.startswith(prefix):
            name, leaf = key.removeprefix(prefix).rsplit(".", 1)
            # The slopes of a snake are [C] there and [1, C, 1] in diffusers.
            value = value.reshape(1, -1, 1) if leaf in ("alpha", "beta") else value
            renamed[f"oobleck.{_oobleck_name(name)}.{leaf}"] = value
    return renamed


def _oobleck_name(name: str) -> str:
    """`encoder.layers.2.layers.0.layers.1` -> `encoder.block.1.res_unit1.conv1`."""
    side, *rest = name.split(".")
    first, *inner = [int(number) for number in rest if number != "layers"]
    # Of a side's seven layers the first, sixth and seventh are single, the others are blocks.
    outer = {0: "conv1", 5: "snake1", 6: "conv2"}
    if first in outer:
        return f"{side}.{outer[first]}"
    parts = ENCODER_PARTS if side == "encoder" else DECODER_PARTS
    names = [parts[inner[0]], *(UNIT_PARTS[number] for number in inner[1:])]
    return ".".join([side, "block", str(first - 1), *names])
