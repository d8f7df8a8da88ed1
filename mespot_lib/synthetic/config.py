"""What a synthetic dataset consists of: its camera, its cast, its expressions and its nuisances.

Lengths on the face are in face units: 1 u is 1/64 of the distance between the inner eye corners, that is one
pixel of a face crop 256 px wide. Statistics of durations, rates and action units follow the public annotation
files of CAS(ME)^2 and SAMM Long Videos.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

LAYOUTS = (
    "casme2",
    "casme3_a",
    "casme3_c",
    "fourdme",
    "megc2022_cas",
    "megc2022_samm",
    "megc2023_cas",
    "megc2023_samm",
    "samm_lv",
    "smic_e",
)


@dataclass(frozen=True)
class SyntheticConfig:
    """All settings of one synthetic dataset; the same settings and seed draw the same bits."""

    name: str = "synthetic_casme2"
    layout: str = "casme2"
    seed: int = 2023

    # cast and length
    subjects: int = 6
    videos_per_subject: int = 3
    seconds_per_video: float = 36.0

    # camera
    fps: float = 30.0
    width: int = 256
    height: int = 256
    grey: bool = False
    pixels_per_u: float = 0.6
    noise_levels: float = 1.6  # standard deviation of the sensor noise at mid brightness, grey levels of 255
    flicker: float = 0.006  # relative, mains beat plus slow drift
    jpeg_quality: int = 92

    # expressions
    me_per_min: float = 3.0
    mae_per_min: float = 4.5
    fewest_me_per_subject: int = 2
    fewest_mae_per_subject: int = 2
    expression_gain: float = 1.0  # 0 draws the twin: the same plan and labels without any of the motion
    me_seconds: tuple[float, float, float, float] = (0.42, 0.08, 0.20, 0.50)  # mean, sd, least, most
    mae_seconds: tuple[float, float, float, float] = (1.10, 0.50, 0.56, 5.0)  # median, log sd, least, most
    me_amplitude_u: tuple[float, float, float, float] = (1.5, 0.35, 0.5, 3.0)  # median, log sd, least, most
    mae_amplitude_u: tuple[float, float, float, float] = (6.0, 0.50, 2.2, 16.0)
    gap_s: float = 0.6  # least time between two expressions
    margin_s: float = 0.7  # least time to either end of the video

    # nuisances
    rest_u: float = 0.10  # rms of the resting muscle activity: a neutral face is never motionless
    blinks_per_min: float = 12.0
    fixations_per_s: float = 0.8
    swallows_per_min: float = 0.8
    talks_per_min: float = 0.2
    drift_u: float = 1.2  # rms of the slow head translation
    turn_rad: float = 0.006  # rms of yaw and of pitch
    roll_rad: float = 0.003
    zoom: float = 0.0025  # rms of the relative size
    nods_per_min: float = 2.0
    nod_u: tuple[float, float] = (2.0, 10.0)  # log-uniform range

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout {self.layout!r} of {self.name!r} is not one of {', '.join(LAYOUTS)}")
        for field in ("subjects", "videos_per_subject", "seconds_per_video", "fps", "width", "height"):
            if getattr(self, field) <= 0:
                raise ValueError(f"{field} of {self.name!r} must be positive, not {getattr(self, field)}")
        if self.width % 2 or self.height % 2:
            raise ValueError(
                f"width and height of {self.name!r} must be even, not {self.width} x {self.height}"
            )
        if self.seconds_per_video < 2 * self.margin_s + 2:
            raise ValueError(f"seconds_per_video of {self.name!r} leaves no room for an expression")

    @property
    def frames_per_video(self) -> int:
        """Number of frames of each video."""
        return round(self.seconds_per_video * self.fps)

    @property
    def minutes(self) -> float:
        """Length of the whole dataset in minutes."""
        return self.subjects * self.videos_per_subject * self.seconds_per_video / 60

    # presets
    @classmethod
    def casme2(cls) -> SyntheticConfig:
        """The default set in the layout of CAS(ME)^2: 30 frames per second, colour."""
        return cls()

    @classmethod
    def samm_lv(cls) -> SyntheticConfig:
        """The default set in the layout of SAMM-LV: 200 frames per second, grey.

        Rates are raised beyond those of the long set because its videos are short.
        """
        return cls(
            name="synthetic_samm_lv",
            layout="samm_lv",
            seed=2034,
            videos_per_subject=2,
            seconds_per_video=11.0,
            fps=200.0,
            grey=True,
            me_per_min=8.2,
            mae_per_min=10.0,
            talks_per_min=0.5,
            swallows_per_min=1.5,
        )

    @classmethod
    def casme2_smoke(cls) -> SyntheticConfig:
        """Two short colour videos, drawn in seconds."""
        return replace(cls.casme2()._small(), name="synthetic_casme2_smoke", seconds_per_video=9.0)

    @classmethod
    def samm_lv_smoke(cls) -> SyntheticConfig:
        """Two short grey videos, drawn in seconds."""
        return replace(cls.samm_lv()._small(), name="synthetic_samm_lv_smoke", seconds_per_video=5.0)

    @classmethod
    def smic_e(cls) -> SyntheticConfig:
        """Clips in the layout of SMIC-E-HS: 100 frames per second, colour, micro-expressions alone."""
        return replace(
            cls.casme2()._micro_only(), name="synthetic_smic_e", layout="smic_e", seed=2013, fps=100.0
        )

    @classmethod
    def fourdme(cls) -> SyntheticConfig:
        """Clips in the layout of the 4DME micro release: 60 frames per second, grey, micro-expressions alone."""
        return replace(
            cls.casme2()._micro_only(),
            name="synthetic_fourdme",
            layout="fourdme",
            seed=2022,
            fps=60.0,
            grey=True,
        )

    @classmethod
    def casme3_a(cls) -> SyntheticConfig:
        """Videos in the layout of part A of CAS(ME)^3: 30 frames per second, colour, gaps."""
        return replace(
            cls.casme2(),
            name="synthetic_casme3_a",
            layout="casme3_a",
            seed=2045,
            subjects=4,
            videos_per_subject=2,
            seconds_per_video=16.0,
            me_per_min=5.0,
        )

    @classmethod
    def casme3_c(cls) -> SyntheticConfig:
        """Clips in the layout of part C of CAS(ME)^3: 30 frames per second, colour, micro-expressions alone."""
        return replace(cls.casme2()._micro_only(), name="synthetic_casme3_c", layout="casme3_c", seed=2056)

    @classmethod
    def megc2022_cas(cls) -> SyntheticConfig:
        """Five videos in the layout of one half of the unseen set of MEGC2022, in colour, 30 frames per second."""
        return cls.casme2()._unseen("megc2022_cas", seed=2067, subjects=5, videos=1, seconds=12.0)

    @classmethod
    def megc2022_samm(cls) -> SyntheticConfig:
        """Five videos in the layout of the other half, grey at 200 frames per second."""
        return cls.samm_lv()._unseen("megc2022_samm", seed=2078, subjects=5, videos=1, seconds=5.0)

    @classmethod
    def megc2023_cas(cls) -> SyntheticConfig:
        """Twenty videos in the layout of one half of the unseen set of MEGC2023, in colour, 30 frames per second.

        As in the challenge's clips, heads move more freely than in the training sets and the light changes.
        """
        half = cls.casme2()._unseen("megc2023_cas", seed=2089, subjects=4, videos=5, seconds=8.0)
        return replace(half._restless(), flicker=0.03)

    @classmethod
    def megc2023_samm(cls) -> SyntheticConfig:
        """Ten videos in the layout of the other half, grey at 200 frames per second, heads and light as there."""
        half = cls.samm_lv()._unseen("megc2023_samm", seed=2100, subjects=5, videos=2, seconds=4.0)
        return replace(half._restless(), flicker=0.03)

    @classmethod
    def still(cls) -> SyntheticConfig:
        """The default set with the head clamped: what remains is muscle motion, blinks and noise."""
        return replace(
            cls.casme2(),
            name="synthetic_still",
            drift_u=0.05,
            turn_rad=0.0003,
            roll_rad=0.0002,
            zoom=0.0002,
            nods_per_min=0.0,
        )

    @classmethod
    def hard(cls) -> SyntheticConfig:
        """The default set with a restless head."""
        return replace(cls.casme2()._restless(), name="synthetic_hard")

    @classmethod
    def natural_rate(cls) -> SyntheticConfig:
        """Expressions as rare as in CAS(ME)^2. For long demonstrations, not for comparing scores."""
        return replace(
            cls.casme2(),
            name="synthetic_natural_rate",
            me_per_min=0.41,
            mae_per_min=2.17,
            fewest_me_per_subject=0,
            fewest_mae_per_subject=0,
        )

    @classmethod
    def amplitude_sweep(cls, amplitude_u: float) -> SyntheticConfig:
        """A set whose micro-expressions all have one amplitude (u); same seeds for every amplitude."""
        return replace(
            cls.casme2(),
            name=f"synthetic_amplitude_{amplitude_u:g}u",
            subjects=5,
            videos_per_subject=1,
            seconds_per_video=30.0,
            me_per_min=9.0,
            mae_per_min=1.6,
            fewest_mae_per_subject=0,
            me_amplitude_u=(amplitude_u, 0.0, amplitude_u, amplitude_u),
        )

    def without_expressions(self) -> SyntheticConfig:
        """The twin with amplitude zero: same seeds, plan and labels, but no expression moves the face."""
        return replace(self, name=f"{self.name}_twin", expression_gain=0.0)

    def _restless(self) -> SyntheticConfig:
        """A head that drifts, turns and nods more."""
        return replace(self, drift_u=2.5, turn_rad=0.015, roll_rad=0.008, nods_per_min=6.0)

    def _micro_only(self) -> SyntheticConfig:
        """Short clips, most with one micro-expression and some with two."""
        return replace(
            self,
            subjects=4,
            videos_per_subject=3,
            seconds_per_video=5.0,
            me_per_min=15.0,
            mae_per_min=0.0,
            fewest_mae_per_subject=0,
        )

    def _unseen(
        self, layout: str, *, seed: int, subjects: int, videos: int, seconds: float
    ) -> SyntheticConfig:
        """Short videos of other people, whose truth goes into `truth.csv` alone."""
        return replace(
            self,
            name=f"synthetic_{layout}",
            layout=layout,
            seed=seed,
            subjects=subjects,
            videos_per_subject=videos,
            seconds_per_video=seconds,
            me_per_min=8.0,
            mae_per_min=8.0,
            fewest_me_per_subject=1,
            fewest_mae_per_subject=1,
        )

    def _small(self) -> SyntheticConfig:
        return replace(
            self, subjects=2, videos_per_subject=1, fewest_me_per_subject=1, fewest_mae_per_subject=1
        )
