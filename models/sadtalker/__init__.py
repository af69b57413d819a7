"""SadTalker: a talking head from one picture and a sound, by way of 3D face coefficients.

After Zhang, Cun, Wang, Zhang, Shen, Guo, Shan and Wang, "SadTalker: Learning Realistic 3D Motion Coefficients for
Stylized Audio-Driven Single Image Talking Face Animation", CVPR 2023. Every network takes a ``width`` multiplier; at
width 1 its keys and shapes are the published checkpoints'.
"""
