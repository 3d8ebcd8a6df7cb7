"""The vendor's terms for rknn-toolkit2: where they stand and what they come to. We are no party to them."""

from __future__ import annotations

TERMS = "https://github.com/airockchip/rknn-toolkit2/blob/master/LICENSE"
SUMMARY = f"""rknn-toolkit2 is not part of rknn-ep. It is Rockchip's, and comes under Rockchip's "RKNN SDK License":

  {TERMS}

That text binds you, not this summary of it, which is in our own words:
 - you may use, copy and change it without a fee, but only to design, develop and test applications for Rockchip's chips;
 - you may not decompile it or take it apart in any other way, nor remove its notices;
 - parts of it are other people's, and their licences apply to those;
 - no warranty and no support; you answer for claims that arise because you broke the terms;
 - export laws are yours to keep; Rockchip may end the licence, and then every copy has to be deleted;
 - the law of the People's Republic of China applies, with Fuzhou as the place of jurisdiction.
"""
