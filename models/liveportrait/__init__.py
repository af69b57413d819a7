"""LivePortrait: networks, geometry, motion templates and the pipeline that animates a portrait.

After Guo, Zhang, Liu, Zhong, Zhang, Wan and Zhang, "LivePortrait: Efficient Portrait Animation with Stitching
and Retargeting Control", arXiv:2407.03168.
"""
