"""One OpenCV thread in every test, so that results do not depend on the machine's cores."""

import cv2

cv2.setNumThreads(1)
